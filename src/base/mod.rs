//! The ground floor: time, ids, faults and untrusted text. Knows nothing of the product.

pub mod clock;
pub mod fault;
pub mod hash;
pub mod ids;
pub mod stamp;
pub mod text;
