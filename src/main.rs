//! Arguments in, exit code out; everything else is in the library.

/// A leaf is made by one thread and given back by another: the C library's allocator pays for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tongban::cli::run(std::env::args_os()).into()
}
