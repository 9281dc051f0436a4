#!/usr/bin/env bash
# A Tongban partner in one shell script: curl for TLS and HTTP, openssl for keys and signatures,
# coreutils for encodings, jq for JSON (reading JSON with sed is how forgeries get believed).
#
#     client.sh DIR ping
#     client.sh DIR lookup QUERY.json [AUTHORIZATION]     license.query, to read or to verify
#     client.sh DIR submit APPLICATION.json               application.submit
#     client.sh DIR status APPLICATION.json               application.status of the same case
#     client.sh DIR proof                                 prove the promise of the last answer
#
# DIR holds sign.pem (our P-256 signing key), tls.crt and tls.key, card.json (our own card) and
# partner.json (the partner's card). An answer is believed after every check of PROTOCOL.md S-5, in
# its order, and not before. Standard output is one line of JSON; people read standard error.
# Ends with 0 answered, 1 nothing that can be believed, 2 refused and signed, 3 an unsigned hint, 64 usage.
set -euo pipefail
export LC_ALL=C

SKEW=30             # seconds two clocks may differ
LONGEST_LIFE=120    # seconds an answer may live
LARGEST=$((256 * 1024)) # octets of a message
PATIENCE=20         # seconds for one call
SOON=12             # seconds until a promised leaf stands under a checkpoint (PROTOCOL.md B-9: 10)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" >&2; exit 64; }
not_believed() { printf 'not believed: %s: %s\n' "$1" "$2" >&2; exit 1; }

# --- encodings: bytes come in on standard input and leave on standard output ------------------
hex() { basenc --base16 -w0 | tr A-F a-f; }
unhex() { tr a-f A-F | basenc --base16 -d; }
b64url() { basenc --base64url -w0 | tr -d =; }
un_b64url() { # coreutils want the padding back
  local text; text=$(cat)
  case $((${#text} % 4)) in 2) text=$text== ;; 3) text=$text= ;; esac
  printf %s "$text" | basenc --base64url -d
}
sha256() { openssl dgst -sha256 -binary; }
# RFC 8785: our numbers are integers and our names ASCII, so sorting and compacting is all of it.
jcs() { jq -jcS .; }

# --- ES256 and openssl ------------------------------------------------------------------------
# A JWS carries r ‖ s, 32 octets each and nothing else. openssl speaks DER, SEQUENCE{INTEGER r, INTEGER s},
# in which leading zeros are cut and a 00 stands before a first octet of 80 or more: 70 to 72 octets as a rule.
# Sending that DER is the classic mistake; its refusal is signature-invalid, reason signature-mismatch.
sign_es256() { # key file; the text on standard input; raw r‖s on standard output
  openssl dgst -sha256 -sign "$1" | openssl asn1parse -inform DER |
    awk -F: '/INTEGER/ { printf "%64s", $4 }' | tr ' ' 0 | unhex
}
der_integer() { # 64 hex digits
  local n; n=$(printf %s "$1" | sed 's/^\(00\)*//')
  case $n in [89a-f]* | '') n=00$n ;; esac
  printf '02%02x%s' $((${#n} / 2)) "$n"
}
der_signature() { # 128 hex digits
  local both; both=$(der_integer "${1:0:64}")$(der_integer "${1:64:64}")
  printf '30%02x%s' $((${#both} / 2)) "$both" | unhex
}
# A public key as PEM: the fixed head of a P-256 (of an Ed25519) SubjectPublicKeyInfo, then the key itself.
p256_pem() { { printf 3059301306072a8648ce3d020106082a8648ce3d03010703420004; printf %s "$1" | un_b64url | hex; printf %s "$2" | un_b64url | hex; } | unhex | openssl pkey -pubin -inform DER; }
ed25519_pem() { printf '302a300506032b6570032100%s' "$1" | unhex | openssl pkey -pubin -inform DER; }
thumbprint() { printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$1" "$2" | sha256 | b64url; } # RFC 7638

# --- who is who ---------------------------------------------------------------------------------
[ $# -ge 2 ] && [ -f "$1/card.json" ] && [ -f "$1/partner.json" ] || usage
dir=$1 command=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
me=$(jq -r .id "$dir/card.json") my_region=$(jq -r .region "$dir/card.json")
partner=$(jq -r .id "$dir/partner.json") region=$(jq -r .region "$dir/partner.json")
endpoint=$(jq -r '.endpoint | rtrimstr("/")' "$dir/partner.json")
# Who holds a key that is pinned on the card is the partner; host names prove nothing (hence --insecure).
# curl compares the pin before it sends anything; unlike the other clients it then does not look at the certificate's dates.
pins=$(jq -r '[.tls.spki_sha256[]? | "sha256//" + gsub("-"; "+") + "=" | gsub("_"; "/") ] | join(";")' "$dir/partner.json")
[ -n "$pins" ] || not_believed tls "the partner's card pins no key"

call() { # curl's own arguments; the body to $work/body, "<status> <content type>" to standard output
  local code=0
  curl -q --silent --show-error --noproxy '*' --tlsv1.3 --max-time "$PATIENCE" --insecure --pinnedpubkey "$pins" \
    --cert "$dir/tls.crt" --key "$dir/tls.key" --output "$work/body" --dump-header "$work/head" \
    --write-out '%{http_code} %{content_type}' "$@" 2>"$work/curl" || code=$?
  case $code in
  0) ;;
  90) not_believed tls "the key of the certificate at the endpoint is not pinned on the partner's card" ;;
  *) not_believed tls "no answer came ($(cat "$work/curl")); does the partner have our card?" ;;
  esac
}

# --- asking ---------------------------------------------------------------------------------------
ask() { # op, file with the request's own members
  local now x y kid header point
  now=$(date +%s)
  jq -c --arg me "$me" --arg to "$partner" --argjson now "$now" --arg op "$1" --arg jti "$(openssl rand 16 | b64url)" \
    '{ver: 1, iss: $me, aud: $to, iat: $now, exp: ($now + 60), jti: $jti, op: $op} + .' "$2" >"$work/asked"
  point=$(openssl pkey -in "$dir/sign.pem" -pubout -outform DER | tail -c 64 | hex)
  x=$(printf %s "${point:0:64}" | unhex | b64url) y=$(printf %s "${point:64:64}" | unhex | b64url)
  kid=$(thumbprint "$x" "$y")
  header=$(printf '{"alg":"ES256","typ":"tongban-request+jwt","kid":"%s"}' "$kid" | b64url)
  # Serialised once. What is signed is what is sent; the digest is over these very bytes.
  printf '%s.%s' "$header" "$(b64url <"$work/asked")" >"$work/input"
  printf '%s.%s' "$(cat "$work/input")" "$(sign_es256 "$dir/sign.pem" <"$work/input" | b64url)" >"$work/request"
  cp "$work/request" "$dir/sent.jws" # for the partner's `tongban explain`, should it be refused
  local told
  told=$(call --header 'content-type: application/tongban-request+jwt' --header 'expect:' --data-binary "@$work/request" "$endpoint/v1/exchange")
  believe "${told%% *}" "${told#* }"
  cp "$work/request" "$dir/last-request.jws"
  cp "$work/body" "$dir/last-answer.jws"
}

# --- believing: PROTOCOL.md S-5, in its order -----------------------------------------------------------
says() { jq -e "$@" "$work/said" >/dev/null 2>&1; }

part() { # one part of the JWS, canonical base64url or nothing
  printf %s "$1" | un_b64url >"$2" 2>/dev/null && [ -s "$2" ] && [ "$(b64url <"$2")" = "$1" ] ||
    not_believed shape 'a part is empty or not base64url'
}

strict_json() { # an object as the protocol allows it: no name twice, integers within 2^53 only
  iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1 && jq -es 'length == 1 and (.[0] | type == "object")' "$1" >/dev/null 2>&1 ||
    not_believed shape 'a part is no JSON object in UTF-8'
  # jq keeps the last of two members with one name; the stream of its tokens still shows both.
  [ "$(jq -c --stream 'select(length == 2)' "$1" | wc -l)" = "$(jq '[tostream | select(length == 2)] | length' "$1")" ] ||
    not_believed shape 'a JSON member stands there twice'
  # What is left without the strings must show no fraction, no exponent and no -0, which jq would read as integers.
  [ "$(sed 's/"\([^"\\]\|\\.\)*"//g' "$1" | grep -cE '[0-9][.eE]|-0' || true)" = 0 ] &&
    jq -e 'all(.. | numbers; fabs <= 9007199254740992)' "$1" >/dev/null || not_believed shape 'a number is no integer within 2^53'
}

believe() { # HTTP status, content type
  local status=$1 text header payload signature now
  [ "${2,,}" = application/tongban-response+jwt ] || unsigned "$status"
  # shape: three parts of base64url, a header of exactly three strings
  [ "$(wc -c <"$work/body")" -le "$LARGEST" ] && [ "$(tr -d 'A-Za-z0-9_-' <"$work/body" | od -An -c | tr -d ' ')" = .. ] ||
    not_believed shape 'is not one compact JWS'
  IFS=. read -r header payload signature <"$work/body" || true
  part "$header" "$work/header"; part "$payload" "$work/said"; part "$signature" "$work/signature"
  strict_json "$work/header"
  jq -e 'keys == ["alg", "kid", "typ"] and all(.[]; type == "string")' "$work/header" >/dev/null ||
    not_believed shape 'the header is not exactly alg, typ and kid'
  jq -e '.typ == "tongban-response+jwt"' "$work/header" >/dev/null || not_believed typ 'is not a response'
  # kid: the key comes from the card, never from the message
  key_in_force
  jq -e --slurpfile key "$work/key" '.alg == $key[0].alg' "$work/header" >/dev/null ||
    not_believed signature 'alg is not the one registered for this key'
  [ "$(jq -r .alg "$work/key")" = ES256 ] || not_believed signature 'this script checks ES256 only, and the partner signs otherwise'
  p256_pem "$(jq -r .x "$work/key")" "$(jq -r .y "$work/key")" >"$work/key.pem"
  [ "$(wc -c <"$work/signature")" -eq 64 ] || not_believed signature 'is not r ‖ s of 64 octets (DER?)'
  der_signature "$(hex <"$work/signature")" >"$work/signature.der"
  printf '%s.%s' "$header" "$payload" | openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/signature.der" >/dev/null 2>&1 ||
    not_believed signature 'does not verify: the answer was changed, or another key signed it'
  strict_json "$work/said"
  says --arg is "$partner" '.iss == $is' || not_believed iss 'is not the gateway that was asked'
  says --arg is "$me" '.aud == $is' || not_believed aud 'is not us: this answer was meant for somebody else'
  says --slurpfile asked "$work/asked" '.req.jti == $asked[0].jti' || not_believed req.jti 'answers another request'
  says --arg is "$(sha256 <"$work/request" | b64url)" '.req.digest == $is' ||
    not_believed req.digest 'is not the SHA-256 of the bytes that were sent: what arrived there was something else'
  says --argjson is "$status" '.status == $is' || not_believed status 'is not the HTTP status'
  now=$(date +%s)
  says --argjson most "$LONGEST_LIFE" '(.exp | type) == "number" and (.iat | type) == "number" and .exp > .iat and .exp - .iat <= $most' ||
    not_believed times "exp is not later than iat by at most $LONGEST_LIFE s"
  says --argjson now $((now + SKEW)) '.iat <= $now' || not_believed times 'comes from the future: compare the clocks'
  says --argjson now $((now - SKEW)) '.exp > $now' || not_believed times 'has ended: old, or compare the clocks'
  check_schema
}

key_in_force() { # the card's key with the header's kid, by the thumbprint that we compute, within its nbf and exp
  local kid jwk now; kid=$(jq -r .kid "$work/header") now=$(date +%s)
  while read -r jwk; do
    printf %s "$jwk" >"$work/key"
    [ "$(thumbprint "$(jq -r .x "$work/key")" "$(jq -r .y "$work/key")")" = "$kid" ] && return
  done < <(jq -c --argjson now "$now" '.jwks.keys[] | select((.nbf // $now) <= $now and $now < (.exp // $now + 1))' "$dir/partner.json")
  not_believed kid "is no key of this partner in force; has it rotated keys, is it another environment's?"
}

check_schema() {
  local outcome digest
  so() { local why=$1; shift; says --slurpfile asked "$work/asked" "$@" || not_believed schema "$why"; }
  outcome=problem; if says '.status >= 200 and .status < 300'; then outcome=result; fi
  so 'members are missing or unknown' --arg outcome "$outcome" \
    'keys == (["aud", "exp", "iat", "iss", "jti", "log", "op", "req", "status", "ver", $outcome] | sort) and (.req | keys) == ["digest", "jti"]'
  so 'ver or jti is wrong' '.ver == 1 and (.jti | test("^[A-Za-z0-9_-]{22,64}$"))'
  so 'op is not what was asked' '.op == $asked[0].op'
  so 'there is no promise (log)' '(.log | keys) == ["index", "leaf", "origin"]'
  so 'the promise is malformed' '(.log.index | type) == "number" and .log.index >= 0 and (.log.leaf | test("^[A-Za-z0-9_-]{43}$"))'
  so "the promise is about another's ledger" --arg region "$region" '.log.origin | startswith("tongban/" + $region + "/")'
  so "$outcome is no object" --arg outcome "$outcome" '.[$outcome] | type == "object"'
  if [ $outcome = problem ]; then
    so 'the problem is malformed' '.status as $status | .problem | .status == $status and all([.type, .title, .title_zh, .code, .retry][]; type == "string")'
    return
  fi
  so "is not the status of this op's success" '.status == (if .op == "application.submit" then 202 else 200 end)'
  case $(jq -r .op "$work/said") in
  license.query)
    so 'found and licenses disagree' '.result | (.licenses | type) == "array" and .found == (.licenses | length > 0)'
    so 'tells more than was asked' '($asked[0].body | .fields // (.expect | keys)) as $wanted
      | all(.result.licenses[] | (.data // {}) + (.match // {}) | keys[]; . as $name | $wanted | index([$name]) != null)' ;;
  application.*)
    so 'is about another case' '.result.case == $asked[0].case' ;;
  esac
  if says '.op == "application.submit"'; then
    digest=$(jq .body "$work/asked" | jcs | sha256 | b64url)
    so 'the receipt is for another application' --arg is "$digest" '.result.digest == $is'
  fi
}

# --- the promise: PROTOCOL.md B-9 and B-13, C2SP tlog-proof ----------------------------------------------------------
prove() { # fetches the leaf that the last answer promised, checks that it stands in the partner's signed tree
  local origin index promised until told hash line at last size
  cut -d. -f2 "$dir/last-request.jws" | un_b64url >"$work/asked"
  cut -d. -f2 "$dir/last-answer.jws" | un_b64url >"$work/said"
  origin=$(jq -r .log.origin "$work/said") index=$(jq -r .log.index "$work/said") promised=$(jq -r .log.leaf "$work/said")
  until=$(($(date +%s) + SOON))
  told=404
  while [ "${told%% *}" = 404 ]; do
    [ "$(date +%s)" -lt "$until" ] || not_believed entry 'the promised leaf is not served: the promise is broken'
    told=$(call "$endpoint/v1/log/$origin/entry/$index")
    [ "${told%% *}" != 404 ] || sleep 0.5
  done
  # Up to the first empty line the proof, behind it the checkpoint note.
  sed '/^$/,$d' "$work/body" >"$work/proof"; sed '1,/^$/d' "$work/body" >"$work/note"
  mapfile -t line <"$work/proof"
  [ "${told%% *}" = 200 ] && [ "${line[0]:-}" = c2sp.org/tlog-proof@v1 ] && [[ ${line[1]:-} == 'extra '* && ${line[2]:-} == 'index '* ]] &&
    printf %s "${line[1]#extra }" | base64 -d >"$work/leaf" 2>/dev/null || not_believed entry 'is no proof file'
  [ "${line[2]}" = "index $index" ] || not_believed index 'the proof is about another place than was promised'
  hash=$({ printf '\000'; cat "$work/leaf"; } | sha256 | hex)
  [ "$(printf %s "$hash" | unhex | b64url)" = "$promised" ] || not_believed leaf 'the leaf at the promised place is not the one that was promised'
  jq -e --slurpfile asked "$work/asked" --slurpfile said "$work/said" --arg me "$region" --arg peer "$my_region" \
    --arg rq "$(sha256 <"$dir/last-request.jws" | b64url)" --arg rd "$(jq '.result // .problem' "$work/said" | jcs | sha256 | b64url)" \
    '.t == "in" and .me == $me and .peer == $peer and .x == $asked[0].jti and .op == $asked[0].op and .status == $said[0].status
      and .rq == $rq and .rd == $rd' "$work/leaf" >/dev/null 2>&1 ||
    not_believed exchange 'the leaf is not about what we asked and were answered'
  checkpoint "$origin"
  size=$(sed -n 2p "$work/text")
  # RFC 9162 §2.1.3.2
  [ "$index" -lt "$size" ] || not_believed path 'the checkpoint does not reach this index'
  at=$index last=$((size - 1))
  for sibling in "${line[@]:3}"; do
    sibling=$(printf %s "$sibling" | base64 -d 2>/dev/null | hex)
    [ "$last" -gt 0 ] && [ ${#sibling} -eq 64 ] || not_believed path 'is too long, or no list of hashes'
    if [ $((at & 1)) = 1 ] || [ "$at" = "$last" ]; then
      hash=$(printf '01%s%s' "$sibling" "$hash" | unhex | sha256 | hex)
      while [ "$at" != 0 ] && [ $((at & 1)) = 0 ]; do at=$((at >> 1)) last=$((last >> 1)); done
    else
      hash=$(printf '01%s%s' "$hash" "$sibling" | unhex | sha256 | hex)
    fi
    at=$((at >> 1)) last=$((last >> 1))
  done
  [ "$last" = 0 ] && [ "$hash" = "$(sed -n 3p "$work/text" | base64 -d | hex)" ] || not_believed path 'does not lead from the leaf to the signed root'
  printf '{"proved":%s,"origin":"%s","size":%s,"root":"%s"}\n' "$index" "$origin" "$size" "$(printf %s "$hash" | unhex | b64url)"
}

checkpoint() { # the text of the C2SP note to $work/text, if the ledger key on the card signed it
  local vkey name id key blank blob signed=no
  vkey=$(jq -r .ledger.vkey "$dir/partner.json")
  name=${vkey%%+*} key=${vkey#*+} id=${key%%+*}
  key=$(printf %s "${key#*+}" | base64 -d | hex) # 01 (Ed25519), then the key
  [ "${key:0:2}" = 01 ] && [ "$({ printf '%s\n' "$name"; printf %s "$key" | unhex; } | sha256 | hex | head -c 8)" = "$id" ] ||
    not_believed checkpoint "the card's vkey is not a well-formed Ed25519 verifier key"
  blank=$(grep -n "^$" "$work/note" | tail -n 1 | cut -d: -f1 || true)
  [ -n "$blank" ] || not_believed checkpoint 'is no signed note'
  head -n $((blank - 1)) "$work/note" >"$work/text"
  while IFS= read -r blob; do
    printf %s "${blob##* }" | base64 -d >"$work/blob" 2>/dev/null || continue
    [ "$(head -c 4 "$work/blob" | hex)" = "$id" ] || continue
    tail -c +5 "$work/blob" >"$work/signature"
    ed25519_pem "${key:2}" >"$work/key.pem"
    openssl pkeyutl -verify -pubin -inkey "$work/key.pem" -rawin -in "$work/text" -sigfile "$work/signature" >/dev/null 2>&1 ||
      not_believed checkpoint 'its signature does not verify'
    signed=yes
  done < <(tail -n +$((blank + 1)) "$work/note" | grep -F -- "— $name " || true)
  [ $signed = yes ] || not_believed checkpoint "is not signed by the ledger key on the partner's card"
  [ "$(head -n 1 "$work/text")" = "$1" ] && [ "$name" = "$1" ] && sed -n 2p "$work/text" | grep -qxE '[1-9][0-9]*' ||
    not_believed checkpoint 'is of another log than the one promised'
}

# --- words for people -------------------------------------------------------------------------------------
unsigned() { # HTTP status: good for deciding whether to try again, for nothing else
  local words again
  words=$(jq -r '[.code, .reason, .title, .title_zh] | map(strings) | join(" ")' "$work/body" 2>/dev/null || true)
  again=$(tr -d '\r' <"$work/head" | sed -n 's/^retry-after: */; try again after seconds: /Ip')
  printf 'not signed, a hint only: HTTP %s %s%s\n' "$1" "$words" "$again" >&2
  exit 3
}

tell() { # the believed answer
  jq -c '{status} + (if .result then {result} else {problem} end) + {exchange: .req.jti, log}' "$work/said"
  says .result && return
  jq -r '.log as $log | .problem | "refused, signed: \(.status) \(.code) \(.reason // "")", "  \(.title_zh) / \(.title)", (.detail // empty | "  " + .),
    (.errors[]? | "  \(.pointer) \(.rule): \(.message_zh) / \(.message)"),
    "  retry: \(.retry)   trace: \(.trace // "-")   recorded: \($log.origin) \($log.index)"' "$work/said" >&2
  exit 2
}

given=${3:-}
case $command in
ping | proof) ;;
lookup | submit | status) [ -f "$given" ] || usage ;;
*) usage ;;
esac
case $command in
ping) echo '{"body": {}}' >"$work/given" && ask ping "$work/given" ;;
lookup)
  jq --arg token "$(tr -d '\r\n ' <"${4:-/dev/null}")" 'if $token == "" then . else . + {authorization: $token} end' "$given" >"$work/given"
  ask license.query "$work/given" ;;
submit) ask application.submit "$given" ;;
status) jq '. + {body: {case}}' "$given" >"$work/given" && ask application.status "$work/given" ;;
proof) prove; exit ;;
esac
tell
