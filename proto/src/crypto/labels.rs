//! Every key derivation context of the project, on one screen.
//!
//! A context is fixed text, used for one purpose, and never built at run time.

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident = $ctx:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = concat!("packnback 2026-01-01 v1 ", $ctx);)*

        /// All contexts, to check that no two are equal.
        #[cfg(test)]
        pub(crate) const ALL: &[&str] = &[$($name),*];
    };
}

contexts! {
    /// Owner seed -> Ed25519 seed of the owner.
    OWNER_SIGN = "owner sign";
    /// Owner seed, epoch -> X25519 secret that reads contents.
    OWNER_DECRYPT = "owner decrypt";
    /// Owner seed, epoch -> X25519 secret that reads names and metadata (list key).
    OWNER_LIST = "owner list";
    /// Owner seed, epoch -> pre-shared key mixed into every session.
    OWNER_SESSION_PSK = "owner session psk";
    /// Owner seed, group -> dedup group secret.
    DEDUP_GROUP = "dedup group";
    /// Owner seed -> Ed25519 seed of the recovery peer.
    RECOVERY_PEER = "recovery peer";
    /// List key of an epoch -> key that seals device labels in certificates.
    DEVICE_LABEL = "device label";
    /// Owner seed -> key of the blind ids of backup sets.
    BACKUP_SET = "backup set";
    /// Dedup group -> chunk keys.
    CHUNK_KEY = "chunk key";
    /// Dedup group -> gear table of the chunker.
    GEAR_TABLE = "gear table";
    /// Dedup group -> key that confirms cuts.
    CUT_PRF = "cut prf";
    /// Shared secret with the list key -> session metadata key.
    SESSION_META = "session meta";
    /// Shared secret with the content key -> session data key.
    SESSION_DATA = "session data";
    /// Session metadata key -> segments, indexes, roots.
    NODE = "node";
    /// Session data key -> maps.
    MAP = "map";
    /// Session data key -> packs.
    PACK = "pack";
    /// Session data key -> blobs of chunk keys.
    KEY_BLOB = "key blob";
    /// Session data key -> chunk keys private to the session.
    PRIVATE_CHUNK_KEY = "private chunk key";
    /// Sealing key -> key of the synthetic nonce.
    SIV = "siv";
    /// Shared secret with a new device -> key of its sealed bundle.
    DEVICE_BUNDLE = "device bundle";
    /// Keys that a new device shows -> fingerprint that people compare.
    DEVICE_FINGERPRINT = "device fingerprint";
    /// Shared secret with a restoring machine -> key of the sealed session keys.
    UNSEAL_ANSWER = "unseal answer";
    /// Record type and body -> record id.
    RECORD_ID = "record id";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn contexts_are_distinct() {
        let unique: std::collections::BTreeSet<_> = ALL.iter().collect();
        assert_eq!(unique.len(), ALL.len());
    }
}
