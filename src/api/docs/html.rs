//! Writes HTML; whatever is text is escaped.

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color-scheme:light dark}code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto;padding:.75rem;\
border:1px solid #8886;border-radius:6px}table{border-collapse:collapse}td,th{text-align:left;padding:.25rem .75rem \
.25rem 0;vertical-align:top;border-bottom:1px solid #8884}section{margin-top:2.5rem}";

/// A page that is being written.
pub(super) struct Html(String);

impl Html {
    /// A page that begins with its title.
    pub(super) fn page(title: &str) -> Self {
        let mut html = Self("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">".to_owned());
        html.0.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
        html.text("title", &format!("{title} · Causeway"));
        html.0.push_str("<style>");
        html.0.push_str(STYLE);
        html.0.push_str("</style></head><body><main>");
        html.text("h1", title);
        html
    }

    /// The whole page.
    pub(super) fn finished(&self) -> String {
        format!("{}</main></body></html>\n", self.0)
    }

    pub(super) fn open(&mut self, tag: &str) -> &mut Self {
        self.0.push_str(&format!("<{tag}>"));
        self
    }

    pub(super) fn close(&mut self, tag: &str) -> &mut Self {
        self.0.push_str(&format!("</{tag}>"));
        self
    }

    /// Text between tags.
    pub(super) fn text(&mut self, tag: &str, text: &str) -> &mut Self {
        self.open(tag).plain(text).close(tag)
    }

    /// Text; what stands between backticks as code.
    pub(super) fn plain(&mut self, text: &str) -> &mut Self {
        for (index, part) in text.split('`').enumerate() {
            let code = index % 2 == 1;
            self.0.push_str(if code { "<code>" } else { "" });
            part.chars().for_each(|character| self.escaped(character));
            self.0.push_str(if code { "</code>" } else { "" });
        }
        self
    }

    pub(super) fn link(&mut self, to: &str, text: &str) -> &mut Self {
        self.0.push_str("<a href=\"");
        to.chars().for_each(|character| self.escaped(character));
        self.0.push_str("\">");
        self.plain(text).close("a")
    }

    /// A row of a table.
    pub(super) fn row(&mut self, cell: &str, texts: &[&str]) -> &mut Self {
        self.open("tr");
        for text in texts {
            self.text(cell, text);
        }
        self.close("tr")
    }

    fn escaped(&mut self, character: char) {
        match character {
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '&' => self.0.push_str("&amp;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            character => self.0.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let mut html = Html::page("<script>");
        html.text("p", "a `b<c` & \"d\"").link("/x\"onclick='", "'");
        let page = html.finished();
        assert!(page.contains("<h1>&lt;script&gt;</h1>"), "{page}");
        assert!(page.contains("<p>a <code>b&lt;c</code> &amp; &quot;d&quot;</p>"), "{page}");
        assert!(page.contains("<a href=\"/x&quot;onclick=&#39;\">&#39;</a>"), "{page}");
    }
}
