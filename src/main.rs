//! The `fieldgate` program. Everything lives in the library; see `cli`.

fn main() -> std::process::ExitCode {
    fieldgate::cli::main()
}
