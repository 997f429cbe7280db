//! Certificates for engines of tests, made with openssl.

use std::path::Path;
use std::process::Command;

fn openssl(dir: &Path, args: &str) {
    let done = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().expect("openssl");
    assert!(done.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A directory with a CA, and a certificate and key for engines at these addresses and for us.
pub fn certificates(dir: &Path, addresses: &[&str]) {
    let new = "req -newkey rsa:2048 -nodes -sha256";
    openssl(dir, &format!("{new} -x509 -days 2 -subj /CN=lab-ca -keyout ca-key.pem -out ca.pem"));
    let names: Vec<String> = addresses.iter().map(|a| format!("IP:{a}")).collect();
    for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
        openssl(dir, &format!("{new} -subj /CN={name} -keyout {name}-key.pem -out {name}.csr"));
        let extensions =
            format!("subjectAltName={},DNS:localhost\nextendedKeyUsage={usage}\n", names.join(","));
        std::fs::write(dir.join("ext"), extensions).expect("the extensions");
        let ca = "-CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2";
        openssl(dir, &format!("x509 -req -sha256 -in {name}.csr {ca} -extfile ext -out {name}-cert.pem"));
    }
    std::fs::copy(dir.join("client-cert.pem"), dir.join("cert.pem")).expect("our certificate");
    std::fs::copy(dir.join("client-key.pem"), dir.join("key.pem")).expect("our key");
}

/// The arguments of a `dockerd` that listens there with these certificates, besides its own socket.
pub fn listen(dir: &Path, address: &str) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    [
        ("-H", format!("tcp://{address}")),
        ("--tlscacert", file("ca.pem")),
        ("--tlscert", file("server-cert.pem")),
        ("--tlskey", file("server-key.pem")),
    ]
    .into_iter()
    .flat_map(|(key, value)| [key.to_owned(), value])
    .chain(["--tlsverify".to_owned()])
    .collect()
}
