//! jaq's standard library, of which a program takes only what it reaches.
//!
//! With every definition a program costs most of a millisecond to compile and tens of kilobytes to keep; with a few
//! hundred programs that is what a start and the idle memory would consist of. So the definitions are parsed once,
//! with what each of them calls, and a program is compiled with those it calls, directly or through others.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use jaq_core::compile::Undefined;
use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::Fun;
use jaq_core::{Compiler, Filter};

use super::native::{self, Engine};
use super::{check, helpers};

/// The name and number of arguments of a function.
pub(super) type Signature<'s> = (&'s str, usize);
/// The program, as a definition beside those it calls. No program can call it: it is on no list.
const MAIN: &str = "__main";

/// Definitions that stand in for jaq's own, and what we add to them.
const OURS: &str = include_str!("library.jq");

/// A function or variable that does not exist: which, and what it would be.
pub(super) type Unknown<'s> = (&'s str, Undefined);

/// Compiles `main` with what it reaches. `calls` are the functions it calls itself; `arena` stays empty, as nothing
/// is imported.
pub(super) fn compile<'s>(
    arena: &'s Arena,
    main: Term<&'s str>,
    calls: &[Signature<'s>],
    globals: &[&'static str],
) -> Result<Filter<Engine>, Option<Unknown<'s>>> {
    let reached = LIBRARY.reached_from(calls);
    let needed = LIBRARY.definitions.iter().filter(|item| reached.contains(&signature(&item.def)));
    let mut definitions: Vec<Def<&'s str>> = needed.map(|item| item.def.clone()).collect();
    definitions.push(Def { name: MAIN, args: Vec::new(), body: main });
    let modules = Loader::new(definitions).load(arena, File { code: MAIN, path: () }).map_err(|_| None)?;
    let natives = natives().filter(|(name, args, _)| reached.contains(&(*name, args.len())));
    Compiler::default()
        .with_funs(natives)
        .with_global_vars(globals.iter().copied())
        .compile(modules)
        .map_err(|errors| errors.into_iter().flat_map(|(_, unknown)| unknown).next())
}

/// Our functions come first, and the first of a name is taken.
fn natives() -> impl Iterator<Item = Fun<Engine>> {
    let theirs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    native::funs().chain(helpers::funs()).chain(theirs)
}

struct Library {
    definitions: Vec<Definition>,
    by_signature: HashMap<Signature<'static>, Vec<usize>>,
}

struct Definition {
    def: Def<&'static str>,
    calls: Vec<Signature<'static>>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(Library::parse);

impl Library {
    fn parse() -> Self {
        let mut definitions = Vec::new();
        let mut by_signature: HashMap<_, Vec<_>> = HashMap::new();
        let ours = jaq_core::load::parse(OURS, |parser| parser.defs()).unwrap_or_default();
        let theirs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).collect::<Vec<_>>();
        let is_in =
            |def: &Def<_>, defs: &[Def<_>]| defs.iter().any(|other| signature(other) == signature(def));
        // A definition sees those before it.
        let (instead, besides): (Vec<_>, Vec<_>) = ours.iter().cloned().partition(|def| is_in(def, &theirs));
        let kept = theirs.into_iter().filter(|def| !is_in(def, &ours));
        for mut def in instead.into_iter().chain(kept).chain(besides) {
            let calls = check::definition(&mut def.body);
            by_signature.entry(signature(&def)).or_default().push(definitions.len());
            definitions.push(Definition { def, calls });
        }
        Self { definitions, by_signature }
    }

    /// Everything called, directly or through definitions.
    fn reached_from<'s>(&self, calls: &[Signature<'s>]) -> HashSet<Signature<'s>> {
        let mut reached: HashSet<Signature<'s>> = HashSet::new();
        let mut open: Vec<Signature<'s>> = calls.to_vec();
        while let Some(called) = open.pop() {
            if reached.insert(called) {
                let found = self.by_signature.get(&called).into_iter().flatten();
                open.extend(found.flat_map(|&index| &self.definitions[index].calls).copied());
            }
        }
        reached
    }
}

fn signature<'s>(def: &Def<&'s str>) -> Signature<'s> {
    (def.name, def.args.len())
}
