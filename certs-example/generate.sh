#!/bin/sh
# Makes the example keys anew, and the list by which gateways know and refuse them.
# Needs openssl, jq and a built `tongban` (TONGBAN=path). 重新生成示例密钥及其指纹清单。
set -eu
cd "$(dirname "$0")"
tongban=${TONGBAN:-tongban}
region=421202
days=3650
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

b64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
spki() { openssl pkey "$@" -pubout -outform DER; }
sha256_hex() { sha256sum | cut -d' ' -f1; }

# Gateway: keys as `tongban init` makes them, the certificate signed by an example CA.
"$tongban" init --region "$region" "$work/gateway" >/dev/null
mkdir -p "$region"
cp "$work/gateway/keys/sign.jwk" "$work/gateway/keys/ledger.key" "$work/gateway/keys/tls.key" "$region/"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days "$days" \
    -subj "/CN=EXAMPLE CA - PUBLISHED KEY - DO NOT TRUST" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
cat > "$work/leaf.ext" <<EOF
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = URI:urn:tongban:gw:$region, DNS:localhost, IP:127.0.0.1, IP:::1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EOF
openssl req -new -key "$region/tls.key" -subj "/CN=EXAMPLE gateway $region - PUBLISHED KEY" -out "$work/leaf.csr"
openssl x509 -req -in "$work/leaf.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 15)" \
    -days "$days" -extfile "$work/leaf.ext" -out "$region/tls.crt" 2>/dev/null

# Auditor: the public half only; what is sealed to it nobody can open.
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/auditor.key"
x=$(spki -in "$work/auditor.key" | tail -c 64 | head -c 32 | b64url)
y=$(spki -in "$work/auditor.key" | tail -c 32 | b64url)
kid=$(printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$x" "$y" | openssl dgst -sha256 -binary | b64url)
jq -n --arg x "$x" --arg y "$y" --arg kid "$kid" \
    '{kty:"EC",crv:"P-256",x:$x,y:$y,kid:$kid,alg:"ECDH-ES+A256KW",use:"enc"}' > auditor.jwk

{
    echo "# Keys whose private half is published in certs-example/: refused outside --demo."
    echo "# 私钥已公开的示例密钥，演示之外一律拒绝。Made by generate.sh."
    echo "# sign.jwk: RFC 7638 thumbprint"
    jq -r .kid "$region/sign.jwk"
    echo "# ledger.key: hex SHA-256 of the raw public key"
    spki -in "$region/ledger.key" | tail -c 32 | sha256_hex
    echo "# tls.key and ca.key: hex SHA-256 of the DER SPKI"
    spki -in "$region/tls.key" | sha256_hex
    spki -in ca.key | sha256_hex
} > fingerprints.txt
chmod 600 ca.key "$region/sign.jwk" "$region/ledger.key" "$region/tls.key"
