//! A pretend shell: a handful of programs, enough to practise on and to test what carries them.

use std::collections::BTreeMap;

/// What a shell knows of the container that it runs in.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    pub hostname: String,
    pub env: BTreeMap<String, String>,
    /// Status of the last program.
    pub status: i64,
}

/// What one program did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    pub out: String,
    pub err: String,
    pub status: i64,
    /// The shell itself shall end.
    pub leave: bool,
}

impl Ran {
    fn said(out: impl Into<String>) -> Ran {
        Ran { out: out.into(), ..Ran::default() }
    }

    fn failed(status: i64, err: String) -> Ran {
        Ran { err, status, ..Ran::default() }
    }
}

/// True for a program that is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("sh" | "bash" | "ash"))
}

impl Shell {
    /// Runs a script: commands between `;`, `&&` and line ends. `None` in the place of a status means that it goes on.
    pub fn script(&mut self, text: &str) -> Ran {
        let mut all = Ran::default();
        for line in text.split(['\n', ';']) {
            for part in line.split("&&") {
                let ran = self.line(part);
                all.out.push_str(&ran.out);
                all.err.push_str(&ran.err);
                all.leave = ran.leave;
                if ran.leave || ran.status != 0 {
                    break;
                }
            }
            if all.leave {
                break;
            }
        }
        all.status = self.status;
        all
    }

    fn line(&mut self, line: &str) -> Ran {
        let expanded = line.replace("$?", &self.status.to_string());
        let words: Vec<String> = expanded.split_whitespace().map(|w| self.word(w)).collect();
        if words.is_empty() {
            return Ran::default();
        }
        let ran = match words.split_last() {
            Some((to, words)) if to == ">&2" => {
                let ran = self.program(words);
                Ran { err: ran.out + &ran.err, out: String::new(), ..ran }
            }
            _ => self.program(&words),
        };
        self.status = ran.status;
        ran
    }

    /// A word without its quotes, a variable by its value.
    fn word(&self, word: &str) -> String {
        let bare = word.trim_matches(['"', '\'']);
        match bare.strip_prefix('$') {
            Some(name) if !word.starts_with('\'') => self.env.get(name).cloned().unwrap_or_default(),
            _ => bare.to_string(),
        }
    }

    /// Runs one program with its arguments.
    pub fn program(&mut self, words: &[String]) -> Ran {
        let Some((program, rest)) = words.split_first() else { return Ran::default() };
        match (program.rsplit('/').next().unwrap_or(program), rest) {
            ("echo", rest) => Ran::said(format!("{}\n", rest.join(" "))),
            ("true" | ":", _) => Ran::default(),
            ("false", _) => Ran { status: 1, ..Ran::default() },
            ("hostname", _) => Ran::said(format!("{}\n", self.hostname)),
            ("pwd", _) => Ran::said("/\n"),
            ("id", _) => Ran::said("uid=0(root) gid=0(root) groups=0(root)\n"),
            ("ls", _) => Ran::said("app\nbin\netc\nproc\ntmp\nusr\nvar\n"),
            ("ps", _) => Ran::said("PID   USER     COMMAND\n    1 root     /app\n   42 root     ps\n"),
            ("env", _) => Ran::said(self.env.iter().map(|(k, v)| format!("{k}={v}\n")).collect::<String>()),
            ("cat", [file]) if file == "/etc/hostname" => Ran::said(format!("{}\n", self.hostname)),
            ("cat", [file, ..]) => {
                Ran::failed(1, format!("cat: can't open '{file}': No such file or directory\n"))
            }
            ("exit", rest) => {
                let status = rest.first().map_or(Some(self.status), |n| n.parse().ok()).unwrap_or(2);
                Ran { status, leave: true, ..Ran::default() }
            }
            ("sh" | "bash" | "ash", [flag, script, ..]) if flag == "-c" => {
                let mut inner = Shell { status: 0, ..self.clone() };
                Ran { leave: false, ..inner.script(script) }
            }
            _ => Ran::failed(127, format!("sh: {program}: not found\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Shell {
        Shell { hostname: "box".into(), env: [("MODE".into(), "live".into())].into(), status: 0 }
    }

    #[test]
    fn scripts_run() {
        let ran = shell().script("echo a $MODE; cat /etc/hostname && false && echo never; echo $?");
        assert_eq!((ran.out.as_str(), ran.status), ("a live\nbox\n1\n", 0));
        let ran = shell().script("exit 3; echo never");
        assert_eq!((ran.out.as_str(), ran.status, ran.leave), ("", 3, true));
        assert_eq!(shell().script("nothing").status, 127);
        assert_eq!(shell().program(&["sh".into(), "-c".into(), "exit 7".into()]).status, 7);
    }
}
