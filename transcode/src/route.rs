//! The routes as a tree: one node a template segment, so that a request costs a step a segment.

use std::{collections::HashMap, hash::BuildHasherDefault};

use crate::{
    path,
    schema::Fnv,
    template::{Atom, Template},
};

/// Finds the binding of a request.
#[derive(Debug)]
pub(crate) struct Routes {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    single: Option<usize>,
    rest: Option<usize>,
    ends: Vec<End>,
}

/// Routes that end at one node.
#[derive(Debug)]
struct End {
    custom_verb: Option<Box<str>>,
    /// HTTP method and binding.
    methods: Vec<(Box<str>, usize)>,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup<'p> {
    /// The binding, and the path without its custom verb.
    Found(usize, &'p str),
    /// The path exists; these are its methods.
    OtherMethod(Vec<Box<str>>),
    Unknown,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

impl Routes {
    /// Adds a route, or returns the binding that has it already.
    pub(crate) fn insert(
        &mut self,
        template: &Template,
        http_method: &str,
        binding: usize,
    ) -> Result<(), usize> {
        let mut at = 0;
        for atom in &template.atoms {
            at = self.step(at, atom);
        }
        let ends = &mut self.nodes[at].ends;
        let end = match ends
            .iter_mut()
            .position(|end| end.custom_verb == template.verb)
        {
            Some(index) => &mut ends[index],
            None => {
                ends.push(End {
                    custom_verb: template.verb.clone(),
                    methods: Vec::new(),
                });
                ends.last_mut().expect("just pushed")
            }
        };
        let taken = end
            .methods
            .iter()
            .find(|(method, _)| **method == *http_method);
        if let Some((_, other)) = taken {
            return Err(*other);
        }
        end.methods.push((http_method.into(), binding));
        Ok(())
    }

    fn step(&mut self, at: usize, atom: &Atom) -> usize {
        let new = self.nodes.len();
        let node = &mut self.nodes[at];
        let next = match atom {
            Atom::Literal(text) => *node.literals.entry(text.clone()).or_insert(new),
            Atom::Single => *node.single.get_or_insert(new),
            Atom::Rest => *node.rest.get_or_insert(new),
        };
        if next == new {
            self.nodes.push(Node::default());
        }
        next
    }

    /// `path` has no query. The most literal template that has the method wins, whatever the order of insertion.
    pub(crate) fn find<'p>(&self, http_method: &str, path: &'p str) -> Lookup<'p> {
        if !path.starts_with('/') {
            return Lookup::Unknown;
        }
        let last = path.rfind('/').unwrap_or_default();
        if let Some(colon) = path[last..].rfind(':') {
            let (stem, verb) = (&path[..last + colon], &path[last + colon + 1..]);
            match self.search(http_method, stem, Some(verb)) {
                Lookup::Unknown => {}
                lookup => return lookup,
            }
        }
        self.search(http_method, path, None)
    }

    fn search<'p>(&self, http_method: &str, path: &'p str, verb: Option<&str>) -> Lookup<'p> {
        let mut search = Search {
            routes: self,
            http_method,
            verb,
            allowed: Vec::new(),
        };
        let rest = (path != "/").then(|| &path[1..]);
        match search.descend(0, rest) {
            Some(binding) => Lookup::Found(binding, path),
            None if search.allowed.is_empty() => Lookup::Unknown,
            None => {
                search.allowed.sort();
                search.allowed.dedup();
                Lookup::OtherMethod(search.allowed)
            }
        }
    }
}

struct Search<'s> {
    routes: &'s Routes,
    http_method: &'s str,
    verb: Option<&'s str>,
    /// Methods of templates that match but for the method.
    allowed: Vec<Box<str>>,
}

impl Search<'_> {
    /// `rest` is what follows the slash after this node's segment.
    fn descend(&mut self, at: usize, rest: Option<&str>) -> Option<usize> {
        let node = &self.routes.nodes[at];
        let Some(rest) = rest else {
            return self
                .end(node)
                .or_else(|| self.end(&self.routes.nodes[node.rest?]));
        };
        let (segment, tail) = match rest.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (rest, None),
        };
        let literal = match node.literals.get(segment) {
            None if segment.contains('%') => path::decode(segment, false)
                .ok()
                .and_then(|decoded| node.literals.get(&*decoded)),
            found => found,
        };
        literal
            .and_then(|next| self.descend(*next, tail))
            .or_else(|| {
                let next = node.single.filter(|_| !segment.is_empty())?;
                self.descend(next, tail)
            })
            .or_else(|| self.end(&self.routes.nodes[node.rest?]))
    }

    fn end(&mut self, node: &Node) -> Option<usize> {
        let end = node
            .ends
            .iter()
            .find(|end| end.custom_verb.as_deref() == self.verb)?;
        let with = |wanted: &str| {
            let mut methods = end.methods.iter();
            methods
                .find(|(method, _)| **method == *wanted)
                .map(|(_, binding)| *binding)
        };
        let found = with(self.http_method)
            .or_else(|| (self.http_method == "HEAD").then(|| with("GET"))?)
            .or_else(|| with("*"));
        if found.is_none() {
            for (method, _) in &end.methods {
                self.allowed.push(method.clone());
                if **method == *"GET" {
                    self.allowed.push("HEAD".into());
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::parse;

    fn routes(rules: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (index, (method, template)) in rules.iter().enumerate() {
            let template = parse(template).expect("a template");
            routes
                .insert(&template, method, index)
                .expect("no route twice");
        }
        routes
    }

    #[test]
    fn the_most_literal_template_wins_in_any_order() {
        let rules = [
            ("GET", "/v1/{name=**}"),
            ("GET", "/v1/accounts/{id}"),
            ("GET", "/v1/accounts/me"),
            ("GET", "/v1/{parent=shelves/*}/books"),
            ("GET", "/v1/shelves/{id}/{kind}"),
            ("POST", "/v1/accounts/{id}:close"),
            ("GET", "/v1/accounts:batchGet"),
            ("DELETE", "/v1/accounts/{id}"),
            ("PURGE", "/v1/cache"),
            ("*", "/v1/anything"),
            ("POST", "/v1/{name=files/**}:scan"),
        ];
        let expected = [
            ("GET", "/v1/a/b/c", Lookup::Found(0, "/v1/a/b/c")),
            ("GET", "/v1", Lookup::Found(0, "/v1")),
            ("GET", "/v1/accounts/7", Lookup::Found(1, "/v1/accounts/7")),
            (
                "GET",
                "/v1/accounts/me",
                Lookup::Found(2, "/v1/accounts/me"),
            ),
            (
                "HEAD",
                "/v1/accounts/me",
                Lookup::Found(2, "/v1/accounts/me"),
            ),
            (
                "GET",
                "/v1/%61ccounts/me",
                Lookup::Found(2, "/v1/%61ccounts/me"),
            ),
            (
                "GET",
                "/v1/shelves/1/books",
                Lookup::Found(3, "/v1/shelves/1/books"),
            ),
            (
                "GET",
                "/v1/shelves/1/toys",
                Lookup::Found(4, "/v1/shelves/1/toys"),
            ),
            (
                "POST",
                "/v1/accounts/7:close",
                Lookup::Found(5, "/v1/accounts/7"),
            ),
            (
                "GET",
                "/v1/accounts:batchGet",
                Lookup::Found(6, "/v1/accounts"),
            ),
            (
                "DELETE",
                "/v1/accounts/me",
                Lookup::Found(7, "/v1/accounts/me"),
            ),
            ("PURGE", "/v1/cache", Lookup::Found(8, "/v1/cache")),
            ("BREW", "/v1/anything", Lookup::Found(9, "/v1/anything")),
            (
                "POST",
                "/v1/files/a/b:scan",
                Lookup::Found(10, "/v1/files/a/b"),
            ),
            (
                "GET",
                "/v1/accounts/a:b",
                Lookup::Found(1, "/v1/accounts/a:b"),
            ),
            ("GET", "/", Lookup::Unknown),
            ("GET", "/v2/x", Lookup::Unknown),
            ("GET", "v1/x", Lookup::Unknown),
            ("POST", "/v2", Lookup::Unknown),
        ];
        let forward = routes(&rules);
        let mut backward = Routes::default();
        for (index, (method, template)) in rules.iter().enumerate().rev() {
            let template = parse(template).expect("a template");
            backward
                .insert(&template, method, index)
                .expect("no route twice");
        }
        for (method, path, lookup) in expected {
            assert_eq!(forward.find(method, path), lookup, "{method} {path}");
            assert_eq!(backward.find(method, path), lookup, "{method} {path}");
        }
    }

    #[test]
    fn another_method_is_told_what_there_is() {
        let routes = routes(&[("GET", "/a/{x}"), ("PUT", "/a/{y}"), ("POST", "/a/{x}:go")]);
        let allowed =
            |names: &[&str]| Lookup::OtherMethod(names.iter().map(|n| (*n).into()).collect());
        assert_eq!(
            routes.find("POST", "/a/1"),
            allowed(&["GET", "HEAD", "PUT"])
        );
        assert_eq!(routes.find("GET", "/a/1:go"), allowed(&["POST"]));
    }

    #[test]
    fn an_empty_segment_is_no_value() {
        let routes = routes(&[("GET", "/a/{x}"), ("GET", "/b/{x=**}")]);
        for path in ["/a/", "/a", "/a//", "//a", "/a/1/"] {
            assert_eq!(routes.find("GET", path), Lookup::Unknown, "{path}");
        }
        for path in ["/b", "/b/", "/b/1//2"] {
            assert_eq!(routes.find("GET", path), Lookup::Found(1, path));
        }
    }

    #[test]
    fn equal_templates_clash_whatever_their_variables_are_called() {
        let mut routes = routes(&[("GET", "/a/{x}")]);
        let same = parse("/a/{other=*}").expect("a template");
        assert_eq!(routes.insert(&same, "GET", 1), Err(0));
        assert_eq!(routes.insert(&same, "POST", 1), Ok(()));
    }
}
