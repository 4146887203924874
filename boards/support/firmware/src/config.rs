//! Configuration that most boards share.

use nearfield::{KvType, KvTypes, Ring, SessionConfig};

/// 2048 tokens of context, of which each KV head keeps the keys that its slope needs (`Ring::Bias`): of the pocket model 704, and an arena
/// of 190,592 bytes, for a part with 256 KiB of RAM.
pub const CONFIG: SessionConfig = SessionConfig {
    n_ctx: 2048,
    n_batch: 8,
    kv: KvTypes::both(KvType::Q8_0),
    ring: Ring::Bias(SessionConfig::HORIZON_EPS),
    ..SessionConfig::DEFAULT
};
