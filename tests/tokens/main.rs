//! Tokens: how clients get them by OAuth 2.0, what forged and revoked ones are worth, keys that change under load, other
//! issuers, and how the command line gets one where a code is asked for.

mod attacks;
mod factor;
mod oauth;
mod outside;
mod revoked;
mod rotation;
mod wire;
