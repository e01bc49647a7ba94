//! One hash: argon2id over memory that goes back to the system at once.

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        Error, Result,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes of one hash.
const LANES: u32 = 1;
/// Blocks of 1 KiB that are asked for. glibc may keep freed memory of up to 32 MiB for later, once a thread; more
/// than that it gives back. What is not touched of it costs nothing.
const ASKED_BLOCKS: usize = 33 * 1024;

/// What an unknown address is checked against, so that it takes as long as a known one: the hash of nothing that
/// anybody knows.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$F59fcJkyxw3/x/HCKv5wBw$WLY3+3DWhSNmS0wVay0FFh9doe0Z/al3T67u/xk8Dz0";

static PARAMS: LazyLock<Params> = LazyLock::new(|| {
    Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("these parameters are within argon2's limits")
});

/// A new hash as a PHC string, with a salt of its own.
pub(super) fn hash(password: &str) -> Result<String> {
    let salt = Salt::generate();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, PARAMS.clone());
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&*PARAMS)?,
        salt: Some(salt),
        hash: Some(output(
            &argon2,
            password,
            &salt,
            Params::DEFAULT_OUTPUT_LEN,
        )?),
    };
    Ok(hash.to_string())
}

/// Whether the password belongs to the hash; without a hash it never does.
pub(super) fn verify(password: &str, hash: Option<&str>) -> Result<bool> {
    let stored = PasswordHash::new(hash.unwrap_or(NOBODYS_HASH))?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Err(Error::EncodingInvalid);
    };
    let argon2 = Argon2::new(
        Algorithm::try_from(stored.algorithm.as_str())?,
        stored
            .version
            .map(Version::try_from)
            .transpose()?
            .unwrap_or_default(),
        Params::try_from(&stored)?,
    );
    // Outputs compare in the same time wherever they differ.
    let same = output(&argon2, password, &salt, expected.len())? == expected;
    Ok(same && hash.is_some())
}

fn output(argon2: &Argon2<'_>, password: &str, salt: &Salt, bytes: usize) -> Result<Output> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::with_capacity(blocks.max(ASKED_BLOCKS));
    memory.resize(blocks, Block::default());
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..bytes).ok_or(Error::OutputSize)?;
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut memory)?;
    Ok(Output::new(output)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_opens() {
        let stored = hash("correct horse").expect("randomness");
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(verify("correct horse", Some(&stored)).expect("readable"));
        assert!(!verify("correct hors", Some(&stored)).expect("readable"));
        assert_ne!(
            stored,
            hash("correct horse").expect("randomness"),
            "each has its own salt"
        );
    }

    #[test]
    fn other_programs_hashes_are_understood() {
        use argon2::PasswordHasher as _;
        let theirs =
            Argon2::default().hash_password_with_salt(b"correct horse", b"some salt of theirs");
        let theirs = theirs.expect("hashed").to_string();
        assert!(verify("correct horse", Some(&theirs)).expect("readable"));
        assert!(!verify("correct hors", Some(&theirs)).expect("readable"));
        assert!(verify("correct horse", Some("no hash")).is_err());
    }

    #[test]
    fn nobodys_hash_costs_what_others_cost() {
        let hash = PasswordHash::new(NOBODYS_HASH).expect("a PHC string");
        let params = Params::try_from(&hash).expect("argon2's");
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
        assert!(!verify("", None).expect("readable"));
    }
}
