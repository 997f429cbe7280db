//! The binary: hands over to the command line and ends with its status.

use std::process::ExitCode;

/// A console that has brought up 100,000 containers holds 260 MiB with it, and 430 with the C library's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads that run tasks; the work is waiting, not computing, and each thread costs memory.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(longshore::wire::run());
            // A thread that waits for the terminal's input must not hold the end up.
            runtime.shutdown_background();
            ExitCode::from(status)
        }
        Err(_) => ExitCode::FAILURE,
    }
}
