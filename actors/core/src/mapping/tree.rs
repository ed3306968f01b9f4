//! Going through a program's tree.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::Part;

use super::error::CompileError;

/// What is done at each term.
pub(super) type Visit<'v, 's> = &'v mut dyn FnMut(&mut Term<&'s str>) -> Result<(), CompileError>;

/// Calls `visit` with every term directly below, until one fails.
pub(super) fn children<'s>(term: &mut Term<&'s str>, visit: Visit<'_, 's>) -> Result<(), CompileError> {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) | Term::Arr(None) => Ok(()),
        Term::Str(_, parts) => parts.iter_mut().try_for_each(|part| match part {
            StrPart::Term(inner) => visit(inner),
            StrPart::Str(_) | StrPart::Char(_) => Ok(()),
        }),
        Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => visit(inner),
        Term::Obj(entries) => entries.iter_mut().try_for_each(|(key, value)| {
            visit(key)?;
            value.iter_mut().try_for_each(&mut *visit)
        }),
        Term::BinOp(left, operator, right) => {
            visit(left)?;
            if let BinaryOp::Pipe(Some(pattern)) = operator {
                in_pattern(pattern, visit)?;
            }
            visit(right)
        }
        Term::Fold(_, values, pattern, arguments) => {
            visit(values)?;
            in_pattern(pattern, visit)?;
            arguments.iter_mut().try_for_each(visit)
        }
        Term::TryCatch(tried, caught) => {
            visit(tried)?;
            caught.iter_mut().try_for_each(|caught| visit(caught))
        }
        Term::IfThenElse(branches, otherwise) => {
            branches.iter_mut().try_for_each(|(condition, then)| {
                visit(condition)?;
                visit(then)
            })?;
            otherwise.iter_mut().try_for_each(|otherwise| visit(otherwise))
        }
        Term::Def(defs, body) => {
            defs.iter_mut().try_for_each(|def| visit(&mut def.body))?;
            visit(body)
        }
        Term::Call(_, arguments) => arguments.iter_mut().try_for_each(visit),
        Term::Path(head, path) => {
            visit(head)?;
            path.0.iter_mut().try_for_each(|(part, _)| match part {
                Part::Index(index) => visit(index),
                Part::Range(from, to) => from.iter_mut().chain(to).try_for_each(&mut *visit),
            })
        }
    }
}

fn in_pattern<'s>(pattern: &mut Pattern<&'s str>, visit: Visit<'_, 's>) -> Result<(), CompileError> {
    match pattern {
        Pattern::Var(_) => Ok(()),
        Pattern::Arr(items) => items.iter_mut().try_for_each(|item| in_pattern(item, &mut *visit)),
        Pattern::Obj(entries) => entries.iter_mut().try_for_each(|(key, value)| {
            visit(key)?;
            in_pattern(value, &mut *visit)
        }),
    }
}
