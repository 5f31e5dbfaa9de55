//! The `auditship` command; see `auditship --help`.

fn main() -> std::process::ExitCode {
    auditship::cli::main()
}
