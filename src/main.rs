//! Arguments in, exit code out; everything else is in the library.

fn main() -> std::process::ExitCode {
    tongban::cli::run(std::env::args_os()).into()
}
