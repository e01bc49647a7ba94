//! What can be wrong with a contract, with a request and with a reply.

use std::{borrow::Cow, fmt};

/// A contract that cannot be served. Said at start, never while serving.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The pool does not hold what a rule names.
    #[error("{method}: {problem}")]
    Rule {
        /// Full name of the method with the rule.
        method: String,
        /// What is wrong with the rule.
        problem: String,
    },
    /// Two rules match exactly the same requests.
    #[error("{first} and {second} have the same route: {verb} {template}")]
    SameRoute {
        /// Full name of the method that came first.
        first: String,
        /// Full name of the other method.
        second: String,
        /// The verb of both.
        verb: String,
        /// The template of the second.
        template: String,
    },
}

/// The part of a request that a fault stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The HTTP body.
    Body,
    /// The path.
    Path,
    /// The query.
    Query,
    /// A header that fills a field: see [`HeaderField`](crate::HeaderField).
    Header,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "body",
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
        })
    }
}

/// A request that is no message of the contract: the sender's fault, always a 4xx.
#[derive(Debug)]
pub struct InputError(Box<Fault>);

#[derive(Debug)]
struct Fault {
    source: Source,
    /// From the innermost outwards: the path is only put together where something is wrong.
    steps: Vec<Step>,
    problem: Cow<'static, str>,
}

#[derive(Debug)]
enum Step {
    Field(Box<str>),
    Index(usize),
    Key(Box<str>),
}

impl InputError {
    pub(crate) fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Fault {
            source: Source::Body,
            steps: Vec::new(),
            problem: problem.into(),
        }))
    }

    pub(crate) fn in_field(mut self, name: &str) -> Self {
        self.0.steps.push(Step::Field(name.into()));
        self
    }

    pub(crate) fn in_index(mut self, index: usize) -> Self {
        self.0.steps.push(Step::Index(index));
        self
    }

    pub(crate) fn in_key(mut self, key: &str) -> Self {
        self.0.steps.push(Step::Key(key.into()));
        self
    }

    pub(crate) fn of_source(mut self, source: Source) -> Self {
        self.0.source = source;
        self
    }

    /// The part of the request that the fault stands in.
    pub fn source(&self) -> Source {
        self.0.source
    }

    /// Where the fault is, as a JSON path: `lines[0].quantity`. Empty for the message as a whole.
    pub fn field(&self) -> String {
        let mut path = String::new();
        for step in self.0.steps.iter().rev() {
            match step {
                Step::Field(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) => path.push_str(&format!("[{key:?}]")),
            }
        }
        path
    }

    /// What is wrong there, for people.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field();
        if field.is_empty() {
            write!(f, "{}: {}", self.source(), self.problem())
        } else {
            write!(f, "{}: {field}: {}", self.source(), self.problem())
        }
    }
}

impl std::error::Error for InputError {}

/// A reply that is no message of the contract, or has no JSON form: the upstream's fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OutputError {
    /// The wire bytes end too early or do not follow the wire format.
    #[error("the message is malformed: {0}")]
    Malformed(&'static str),
    /// Well-formed, but JSON has no form for it.
    #[error("the message has no JSON form: {0}")]
    NoJson(&'static str),
}
