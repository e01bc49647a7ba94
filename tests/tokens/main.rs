//! Tokens: how clients get them by OAuth 2.0, what forged ones are worth, keys that change under load, other issuers.

mod attacks;
mod oauth;
mod outside;
mod rotation;
mod wire;
