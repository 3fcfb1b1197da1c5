//! `vas-c-header CONFIG SOURCE...`: prints the header that cbindgen makes of these sources.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(config), sources) = (args.next(), args.collect::<Vec<_>>()) else {
        eprintln!("vas-c-header: give CONFIG SOURCE...");
        return ExitCode::from(2);
    };
    let config = match cbindgen::Config::from_file(&config) {
        Ok(config) => config,
        Err(why) => {
            eprintln!("vas-c-header: {config}: {why}");
            return ExitCode::FAILURE;
        }
    };
    let builder = cbindgen::Builder::new().with_config(config);
    match sources.iter().fold(builder, |builder, source| builder.with_src(source)).generate() {
        Ok(header) => {
            let mut text = Vec::new();
            header.write(&mut text);
            print!("{}", short(&String::from_utf8_lossy(&text)));
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("vas-c-header: {}: {why}", sources.join(", "));
            ExitCode::FAILURE
        }
    }
}

/// Comments of one line on one line.
fn short(header: &str) -> String {
    let mut short = String::with_capacity(header.len());
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let rest: Vec<&str> = lines.clone().take(2).collect();
        match rest.as_slice() {
            [text, end] if line.trim() == "/**" && end.trim() == "*/" => {
                let text = text.trim_start().trim_start_matches('*').trim();
                short.push_str(&format!("{indent}/** {text} */\n"));
                lines.nth(1);
            }
            _ => {
                short.push_str(line);
                short.push('\n');
            }
        }
    }
    short
}
