//! Pool files: Compose in, pools out, every fault with its place.
