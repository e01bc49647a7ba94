//! The reference page: the document as HTML, with everything in it. No script, nothing from elsewhere.

mod html;
mod schema;

use html::{Html, markdown};
use serde_json::{Map, Value};

const STYLE: &str = include_str!("page.css");
static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

/// The page for a document that [`document`](crate::document) made.
pub fn page(document: &Value) -> String {
    let page = Page { document };
    let mut html = Html::default();
    let info = &document["info"];
    let title = text(info, "title");
    html.raw("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">")
        .tag("title", "", &format!("{title} API"))
        .raw("<style>")
        .raw(STYLE)
        .raw("</style><body>");
    page.navigation(&mut html);
    html.raw("<main><header>")
        .tag("h1", "", &format!("{title} API"));
    markdown(&mut html, text(info, "description"));
    html.raw("<p><a href=\"openapi.json\">OpenAPI document</a></p></header>");
    for tag in list(&document["tags"]) {
        let name = text(tag, "name");
        html.raw("<section>")
            .tag("h2", &format!("id=\"{name}\""), name);
        markdown(&mut html, text(tag, "description"));
        for (path, verb, operation) in page.operations(name) {
            page.operation(&mut html, path, verb, operation);
        }
        html.raw("</section>");
    }
    html.raw("</main></body></html>\n");
    html.into_string()
}

struct Page<'d> {
    document: &'d Value,
}

impl<'d> Page<'d> {
    /// The operations of a tag: path, verb and operation.
    fn operations(&self, tag: &str) -> Vec<(&'d str, String, &'d Value)> {
        let mut operations = Vec::new();
        for (path, item) in object(&self.document["paths"]) {
            for (verb, operation) in object(item) {
                if list(&operation["tags"]).iter().any(|found| found == tag) {
                    operations.push((path.as_str(), verb.to_uppercase(), operation));
                }
            }
        }
        operations
    }

    fn navigation(&self, html: &mut Html) {
        let info = &self.document["info"];
        html.raw("<nav>").tag("h1", "", text(info, "title"));
        html.tag("p", "", &format!("version {}", text(info, "version")));
        for tag in list(&self.document["tags"]) {
            let name = text(tag, "name");
            html.tag("h2", "", name.strip_suffix("Service").unwrap_or(name));
            for (path, verb, operation) in self.operations(name) {
                let id = text(operation, "operationId");
                html.raw("<a href=\"#").text(id).raw("\">");
                html.tag("span", &format!("class=\"verb {verb}\""), &verb)
                    .tag("span", old(operation), path)
                    .raw("</a>");
            }
        }
        html.raw("</nav>");
    }

    fn operation(&self, html: &mut Html, path: &str, verb: String, operation: &Value) {
        let id = text(operation, "operationId");
        html.raw("<article id=\"").text(id).raw("\"><h3>");
        html.tag("span", &format!("class=\"verb {verb}\""), &verb)
            .tag("span", old(operation), path);
        if !list(&operation["security"]).is_empty() {
            html.tag("span", "class=\"mark\"", "token");
        }
        if operation["deprecated"] == true {
            html.tag("span", "class=\"mark\"", "deprecated");
        }
        html.raw("<a href=\"#")
            .text(id)
            .raw("\" aria-label=\"link\">#</a></h3><div>");
        markdown(html, text(operation, "summary"));
        markdown(html, text(operation, "description"));
        self.parameters(html, operation);
        let bodies = object(&operation["requestBody"]["content"]);
        for (media, body) in bodies {
            html.tag("h4", "", &format!("Body: {media}"));
            self.members(html, &body["schema"], 0);
        }
        html.tag("h4", "", "Example")
            .tag("pre", "", &self.curl(path, &verb, operation));
        self.responses(html, operation);
        html.raw("</div></article>");
    }

    fn parameters(&self, html: &mut Html, operation: &Value) {
        let parameters = list(&operation["parameters"]);
        if parameters.is_empty() {
            return;
        }
        html.tag("h4", "", "Parameters").raw("<table>");
        for parameter in parameters {
            html.raw("<tr><td>")
                .tag("span", old(parameter), text(parameter, "name"));
            if parameter["required"] == true {
                html.tag("span", "class=\"need\"", " *");
            }
            html.raw("</td><td class=\"type\">")
                .text(text(parameter, "in"))
                .raw(", ")
                .text(&self.type_name(&parameter["schema"]))
                .raw("</td><td>");
            self.notes(html, parameter, &parameter["schema"]);
            html.raw("</td></tr>");
        }
        html.raw("</table>");
    }

    fn responses(&self, html: &mut Html, operation: &Value) {
        html.tag("h4", "", "Answers").raw("<table>");
        let mut problems = Vec::new();
        for (status, response) in object(&operation["responses"]) {
            if response["$ref"].is_string() {
                problems.push(status.as_str());
                continue;
            }
            html.raw("<tr>").tag("td", "", status).raw("<td>");
            markdown(html, text(response, "description"));
            for (name, header) in object(&response["headers"]) {
                html.raw("<p>").tag("code", "", name).raw(" ");
                html.text(text(header, "description")).raw("</p>");
            }
            for (media, content) in object(&response["content"]) {
                if media == "application/problem+json" {
                    continue;
                }
                let type_name = self.type_name(&content["schema"]);
                html.raw("<details><summary>")
                    .text(&format!("{media}: {type_name}"))
                    .raw("</summary>");
                html.text(text(&content["schema"], "description"));
                self.members(html, &content["schema"], 0);
                if let Some(example) = self.example(&content["schema"], 0) {
                    html.tag("pre", "", &pretty(&example));
                }
                html.raw("</details>");
            }
            html.raw("</td></tr>");
        }
        if !problems.is_empty() {
            html.raw("<tr>").tag("td", "", &problems.join(" "));
            html.raw("<td>A problem (RFC 9457).</td></tr>");
        }
        html.raw("</table>");
    }

    /// A call that a reader can copy.
    fn curl(&self, path: &str, verb: &str, operation: &Value) -> String {
        let mut path = path.to_owned();
        let mut headers = String::new();
        for parameter in list(&operation["parameters"]) {
            let name = text(parameter, "name");
            let example = match &parameter["example"] {
                Value::Null => self.example(&parameter["schema"], 0),
                example => Some(example.clone()),
            };
            let example = example.map(|example| match example {
                Value::String(text) => text,
                other => other.to_string(),
            });
            let example = example.unwrap_or_default();
            match text(parameter, "in") {
                "path" => path = path.replace(&format!("{{{name}}}"), &example),
                "header" if parameter["required"] == true || name == "Idempotency-Key" => {
                    headers.push_str(&format!(" \\\n  -H '{name}: {example}'"));
                }
                _ => {}
            }
        }
        let mut call = match verb {
            "GET" => format!("curl \"$BASE{path}\""),
            verb => format!("curl -X {verb} \"$BASE{path}\""),
        };
        if !list(&operation["security"]).is_empty() {
            call.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
        }
        call.push_str(&headers);
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if let Some(example) = Some(body).filter(|body| !body.is_null()) {
            let example = self.example(example, 0).unwrap_or_default().to_string();
            let example = example.replace('\'', "'\\''");
            call.push_str(&format!(
                " \\\n  -H 'Content-Type: application/json' \\\n  -d '{example}'"
            ));
        }
        call
    }
}

fn old(of: &Value) -> &'static str {
    if of["deprecated"] == true {
        "class=\"old\""
    } else {
        ""
    }
}

fn text<'v>(of: &'v Value, name: &str) -> &'v str {
    of[name].as_str().unwrap_or_default()
}

fn list(of: &Value) -> &[Value] {
    of.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn object(of: &Value) -> &Map<String, Value> {
    of.as_object().unwrap_or(&NONE)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
