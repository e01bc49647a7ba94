//! HTML that cannot be broken by what is put into it.

/// HTML on its way.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// As it is: only what this crate wrote.
    pub(super) fn raw(&mut self, html: &str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// Escaped, also for attributes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// An element with text in it.
    pub(super) fn tag(&mut self, name: &str, attributes: &str, text: &str) -> &mut Self {
        let space = if attributes.is_empty() { "" } else { " " };
        self.raw(&format!("<{name}{space}{attributes}>"))
            .text(text)
            .raw(&format!("</{name}>"))
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// The little Markdown that comments use: paragraphs, lists, code.
pub(super) fn markdown(html: &mut Html, text: &str) {
    for paragraph in text.split("\n\n").filter(|part| !part.trim().is_empty()) {
        let mut listed = false;
        html.raw("<p>");
        for line in paragraph.trim().lines() {
            match line.strip_prefix("- ") {
                Some(item) => {
                    html.raw(if listed { "<li>" } else { "</p><ul><li>" });
                    listed = true;
                    code(html, item);
                }
                None => {
                    code(html, line);
                    html.raw("\n");
                }
            }
        }
        html.raw(if listed { "</ul>" } else { "</p>" });
    }
}

fn code(html: &mut Html, line: &str) {
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 1 {
            html.tag("code", "", part);
        } else {
            html.text(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stay_text() {
        let mut html = Html::default();
        markdown(&mut html, "A <b> & `c<d`.\n\n- one\n- two");
        assert_eq!(
            html.into_string(),
            "<p>A &lt;b&gt; &amp; <code>c&lt;d</code>.\n</p><p></p><ul><li>one<li>two</ul>"
        );
    }
}
