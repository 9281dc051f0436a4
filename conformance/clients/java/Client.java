import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

/** A Tongban partner in one file of Java 17, nothing but the JDK: {@code java Client.java DIR ping}. Copy from it. */
public final class Client {
    static final String USAGE = """
        java Client.java DIR ping
        java Client.java DIR lookup QUERY.json [AUTHORIZATION]     license.query, to read or to verify
        java Client.java DIR submit APPLICATION.json               application.submit
        java Client.java DIR status APPLICATION.json               application.status of the same case
        java Client.java DIR proof                                 prove the promise of the last answer

        DIR holds sign.pem (our P-256 signing key), tls.crt and tls.key, card.json (our own card) and
        partner.json (the partner's card). An answer is believed after every check of PROTOCOL.md S-5, in
        its order, and not before. Standard output is one line of JSON; people read standard error.
        Ends with 0 answered, 1 nothing that can be believed, 2 refused and signed, 3 an unsigned hint, 64 usage.
        """;
    static final long SKEW = 30; // seconds two clocks may differ
    static final long LONGEST_LIFE = 120; // seconds an answer may live
    static final int LARGEST = 256 * 1024; // octets of a message
    static final Duration PATIENCE = Duration.ofSeconds(20); // for one call
    static final Duration SOON = Duration.ofSeconds(12); // until a promised leaf stands under a checkpoint (PROTOCOL.md B-9: 10)

    /** The first check that failed, and what was found. */
    static final class NotBelieved extends RuntimeException {
        NotBelieved(String check, String why) {
            super("not believed: " + check + ": " + why);
        }
    }

    /** An answer that nobody signed: good for deciding whether to try again, for nothing else. */
    static final class Hint extends RuntimeException {
        Hint(String words) {
            super("not signed, a hint only: " + words);
        }
    }

    static void must(boolean fine, String check, String why) {
        if (!fine) throw new NotBelieved(check, why);
    }

    // --- who is who -----------------------------------------------------------------------------

    final Path dir;
    final Map<String, Object> card;
    final Map<String, Object> partner;
    final PrivateKey key;
    final HttpClient http;

    Client(Path dir) throws Exception {
        this.dir = dir;
        card = Json.object(Files.readAllBytes(dir.resolve("card.json")));
        partner = Json.object(Files.readAllBytes(dir.resolve("partner.json")));
        key = privateKey(dir.resolve("sign.pem"));
        http = HttpClient.newBuilder().sslContext(tls()).sslParameters(new SSLParameters(null, new String[] {"TLSv1.3"}))
            .followRedirects(HttpClient.Redirect.NEVER).connectTimeout(PATIENCE).build();
    }

    /** TLS both ways: our certificate, and the partner's by its pin. */
    SSLContext tls() throws Exception {
        List<Certificate> chain;
        try (InputStream in = Files.newInputStream(dir.resolve("tls.crt"))) {
            chain = new ArrayList<>(CertificateFactory.getInstance("X.509").generateCertificates(in));
        }
        KeyStore ours = KeyStore.getInstance("PKCS12");
        ours.load(null, null);
        ours.setKeyEntry("us", privateKey(dir.resolve("tls.key")), new char[0], chain.toArray(Certificate[]::new));
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
        keys.init(ours, new char[0]);
        SSLContext context = SSLContext.getInstance("TLSv1.3");
        context.init(keys.getKeyManagers(), new TrustManager[] {new Pinned(list(map(partner.get("tls")), "spki_sha256"))}, null);
        return context;
    }

    /** Who holds a key that is pinned on the card is the partner; host names prove nothing. An extended manager also keeps the JDK from comparing them. */
    static final class Pinned extends X509ExtendedTrustManager {
        final List<Object> pins;

        Pinned(List<Object> pins) {
            this.pins = pins;
        }

        void check(X509Certificate[] chain) throws CertificateException {
            if (!pins.contains(b64url(sha256(chain[0].getPublicKey().getEncoded())))) throw new CertificateException(NOT_PINNED);
            chain[0].checkValidity();
        }

        static final String NOT_PINNED = "the key of the certificate at the endpoint is not pinned on the partner's card";

        @Override public void checkServerTrusted(X509Certificate[] c, String t) throws CertificateException { check(c); }
        @Override public void checkServerTrusted(X509Certificate[] c, String t, Socket s) throws CertificateException { check(c); }
        @Override public void checkServerTrusted(X509Certificate[] c, String t, SSLEngine e) throws CertificateException { check(c); }
        @Override public void checkClientTrusted(X509Certificate[] c, String t) throws CertificateException { throw new CertificateException(); }
        @Override public void checkClientTrusted(X509Certificate[] c, String t, Socket s) throws CertificateException { throw new CertificateException(); }
        @Override public void checkClientTrusted(X509Certificate[] c, String t, SSLEngine e) throws CertificateException { throw new CertificateException(); }
        @Override public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    }

    static PrivateKey privateKey(Path pem) throws Exception {
        String text = Files.readString(pem).replaceAll("-----[A-Z ]+-----|\\s", "");
        for (String kind : List.of("EC", "RSA", "Ed25519")) {
            try {
                return KeyFactory.getInstance(kind).generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text)));
            } catch (InvalidKeySpecException another) {
                // The next kind.
            }
        }
        throw new InvalidKeySpecException(pem + " is no PKCS#8 key: openssl pkcs8 -topk8 -nodes");
    }

    static PublicKey p256(Map<String, Object> jwk) throws GeneralSecurityException {
        AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
        curve.init(new ECGenParameterSpec("secp256r1"));
        ECPoint point = new ECPoint(new BigInteger(1, unB64url(text(jwk, "x"))), new BigInteger(1, unB64url(text(jwk, "y"))));
        return KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(point, curve.getParameterSpec(ECParameterSpec.class)));
    }

    /** RFC 7638. */
    static String thumbprint(Map<String, Object> jwk) {
        Map<String, Object> needed = new TreeMap<>();
        for (String name : List.of("crv", "kty", "x", "y", "n", "e")) if (jwk.containsKey(name)) needed.put(name, jwk.get(name));
        return b64url(sha256(Json.canonical(needed)));
    }

    /** ES256 of JOSE is r ‖ s of 64 octets. JCA's plain SHA256withECDSA makes DER, which every partner refuses. */
    static Signature es256() throws GeneralSecurityException {
        return Signature.getInstance("SHA256withECDSAinP1363Format");
    }

    static boolean verifies(Map<String, Object> jwk, byte[] input, byte[] signature) throws GeneralSecurityException {
        Signature check = es256();
        check.initVerify(p256(jwk));
        check.update(input);
        try {
            return check.verify(signature);
        } catch (GeneralSecurityException badlyFormed) {
            return false;
        }
    }

    byte[] sign(byte[] input) throws GeneralSecurityException {
        Signature signing = es256();
        signing.initSign(key);
        signing.update(input);
        return signing.sign();
    }

    /** JCA derives no public key from a private one: ours is the key on our card that verifies what we sign. */
    String ownKid() throws GeneralSecurityException {
        byte[] probe = "which key is this?".getBytes(StandardCharsets.UTF_8), signature = sign(probe);
        for (Object jwk : list(map(card.get("jwks")), "keys")) if (verifies(map(jwk), probe, signature)) return thumbprint(map(jwk));
        // Not ours to announce, then: the partner will say kid-not-yours.
        return b64url(sha256(signature));
    }

    // --- asking -----------------------------------------------------------------------------------

    /** Signs and sends one request; returns the claims of an answer that may be believed. */
    Map<String, Object> ask(String op, Map<String, Object> members) throws Exception {
        long now = Instant.now().getEpochSecond();
        byte[] random = new byte[16];
        new SecureRandom().nextBytes(random);
        Map<String, Object> asked = new LinkedHashMap<>(Map.of("ver", 1L, "iss", card.get("id"), "aud", partner.get("id"), "iat", now,
            "exp", now + 60, "jti", b64url(random), "op", op));
        asked.putAll(members);
        String header = "{\"alg\":\"ES256\",\"typ\":\"tongban-request+jwt\",\"kid\":\"" + ownKid() + "\"}";
        // Serialised once. What is signed is what is sent; the digest is over these very bytes.
        String input = b64url(header.getBytes(StandardCharsets.US_ASCII)) + "." + b64url(Json.canonical(asked));
        byte[] request = (input + "." + b64url(sign(input.getBytes(StandardCharsets.US_ASCII)))).getBytes(StandardCharsets.US_ASCII);
        Files.write(dir.resolve("sent.jws"), request); // for the partner's `tongban explain`, should it be refused
        HttpResponse<byte[]> told = call("/v1/exchange", b -> b.header("content-type", "application/tongban-request+jwt")
            .POST(HttpRequest.BodyPublishers.ofByteArray(request)));
        Map<String, Object> said = believe(told, asked, request);
        Files.write(dir.resolve("last-request.jws"), request);
        Files.write(dir.resolve("last-answer.jws"), told.body());
        return said;
    }

    HttpResponse<byte[]> call(String path, java.util.function.UnaryOperator<HttpRequest.Builder> how) throws InterruptedException {
        URI at = URI.create(text(partner, "endpoint").replaceAll("/$", "") + path);
        try {
            return http.send(how.apply(HttpRequest.newBuilder(at).timeout(PATIENCE)).build(), HttpResponse.BodyHandlers.ofByteArray());
        } catch (IOException fault) {
            String why = String.valueOf(fault.getMessage());
            throw new NotBelieved("tls", why.contains(Pinned.NOT_PINNED) ? why : "no answer came (" + why + "); does the partner have our card?");
        }
    }

    // --- believing: PROTOCOL.md S-5, in its order -----------------------------------------------------

    Map<String, Object> believe(HttpResponse<byte[]> told, Map<String, Object> asked, byte[] request) throws GeneralSecurityException {
        if (!told.headers().firstValue("content-type").orElse("").equalsIgnoreCase("application/tongban-response+jwt")) throw new Hint(unsigned(told));
        // shape: three parts of base64url, a header of exactly three strings
        String[] part = new String(told.body(), StandardCharsets.ISO_8859_1).split("\\.", -1);
        must(told.body().length <= LARGEST && part.length == 3, "shape", "is not one compact JWS");
        byte[] head = unB64url(part[0]), payload = unB64url(part[1]), signature = unB64url(part[2]);
        Map<String, Object> header = Json.object(head);
        boolean three = header.keySet().equals(Set.of("alg", "typ", "kid")) && header.values().stream().allMatch(v -> v instanceof String);
        must(three, "shape", "the header is not exactly alg, typ and kid");
        must("tongban-response+jwt".equals(header.get("typ")), "typ", "is not a response");
        // kid: the key comes from the card, never from the message
        Map<String, Object> jwk = keyInForce(text(header, "kid"));
        must(jwk != null, "kid", "is no key of this partner in force; has it rotated keys, is it another environment's?");
        must(header.get("alg").equals(jwk.get("alg")), "signature", "alg is not the one registered for this key");
        must("ES256".equals(jwk.get("alg")), "signature", "this program checks ES256 only, and the partner signs otherwise");
        boolean true_ = verifies(jwk, (part[0] + "." + part[1]).getBytes(StandardCharsets.US_ASCII), signature);
        must(true_, "signature", "does not verify: the answer was changed, or another key signed it");
        Map<String, Object> said = Json.object(payload), req = map(said.get("req"));
        must(partner.get("id").equals(said.get("iss")), "iss", "is not the gateway that was asked");
        must(card.get("id").equals(said.get("aud")), "aud", "is not us: this answer was meant for somebody else");
        must(asked.get("jti").equals(req.get("jti")), "req.jti", "answers another request");
        must(b64url(sha256(request)).equals(req.get("digest")), "req.digest", "is not the SHA-256 of the bytes that were sent: what arrived there was something else");
        must(Objects.equals(said.get("status"), (long) told.statusCode()), "status", "is not the HTTP status");
        checkTimes(said, Instant.now().getEpochSecond());
        checkSchema(said, asked);
        return said;
    }

    /** The card's key with this thumbprint, as we compute it, within its nbf and exp. */
    Map<String, Object> keyInForce(String kid) {
        long now = Instant.now().getEpochSecond();
        for (Object each : list(map(partner.get("jwks")), "keys")) {
            Map<String, Object> jwk = map(each);
            boolean inForce = (Long) jwk.getOrDefault("nbf", now) <= now && now < (Long) jwk.getOrDefault("exp", now + 1);
            if (inForce && thumbprint(jwk).equals(kid)) return jwk;
        }
        return null;
    }

    static void checkTimes(Map<String, Object> said, long now) {
        long life = said.get("iat") instanceof Long iat && said.get("exp") instanceof Long exp ? exp - iat : 0;
        must(0 < life && life <= LONGEST_LIFE, "times", "exp is not later than iat by at most " + LONGEST_LIFE + " s");
        long iat = (Long) said.get("iat"), exp = (Long) said.get("exp");
        must(iat <= now + SKEW, "times", "comes " + (iat - now) + " s from the future: compare the clocks");
        must(now < exp + SKEW, "times", "ended " + (now - exp) + " s ago: old, or compare the clocks");
    }

    static void so(boolean fine, String why) {
        must(fine, "schema", why);
    }

    void checkSchema(Map<String, Object> said, Map<String, Object> asked) {
        long status = (Long) said.get("status");
        boolean success = 200 <= status && status < 300;
        String outcome = success ? "result" : "problem", op = text(asked, "op");
        Set<String> members = new TreeSet<>(List.of("ver", "iss", "aud", "iat", "exp", "jti", "req", "op", "status", "log", outcome));
        so(said.keySet().equals(members) && map(said.get("req")).keySet().equals(Set.of("jti", "digest")), "members are missing or unknown");
        so(Objects.equals(said.get("ver"), 1L) && String.valueOf(said.get("jti")).matches("[A-Za-z0-9_-]{22,64}"), "ver or jti is wrong");
        so(op.equals(said.get("op")), "op is not what was asked");
        Map<String, Object> log = map(said.get("log"));
        so(log.keySet().equals(Set.of("origin", "index", "leaf")), "there is no promise (log)");
        so(log.get("index") instanceof Long index && index >= 0 && String.valueOf(log.get("leaf")).matches("[A-Za-z0-9_-]{43}"), "the promise is malformed");
        so(String.valueOf(log.get("origin")).startsWith("tongban/" + partner.get("region") + "/"), "the promise is about another's ledger");
        so(said.get(outcome) instanceof Map, outcome + " is no object");
        Map<String, Object> result = map(said.get(outcome));
        if (!success) {
            boolean words = List.of("type", "title", "title_zh", "code", "retry").stream().allMatch(name -> result.get(name) instanceof String);
            so(words && said.get("status").equals(result.get("status")), "the problem is malformed");
            return;
        }
        so(status == (op.equals("application.submit") ? 202 : 200), "is not the status of this op's success");
        if (op.equals("license.query")) {
            Map<String, Object> body = map(asked.get("body"));
            Set<Object> wanted = new java.util.HashSet<>(body.containsKey("fields") ? list(body, "fields") : map(body.get("expect")).keySet());
            so(result.get("licenses") instanceof List<?> found && Objects.equals(result.get("found"), !found.isEmpty()), "found and licenses disagree");
            for (Object license : list(result, "licenses")) {
                boolean covered = wanted.containsAll(map(map(license).get("data")).keySet()) && wanted.containsAll(map(map(license).get("match")).keySet());
                so(covered, "tells more than was asked");
            }
        }
        if (op.equals("application.submit")) so(b64url(sha256(Json.canonical(asked.get("body")))).equals(result.get("digest")), "the receipt is for another application");
        if (op.startsWith("application.")) so(Objects.equals(asked.get("case"), result.get("case")), "is about another case");
    }

    // --- the promise: PROTOCOL.md B-9 and B-13, C2SP tlog-proof ----------------------------------------------------

    /** Fetches the leaf that the last answer promised, and checks that it stands in the partner's signed tree. */
    Map<String, Object> prove() throws Exception {
        byte[] request = Files.readAllBytes(dir.resolve("last-request.jws"));
        Map<String, Object> asked = Json.object(unB64url(new String(request, StandardCharsets.US_ASCII).split("\\.")[1]));
        Map<String, Object> said = Json.object(unB64url(Files.readString(dir.resolve("last-answer.jws")).split("\\.")[1]));
        Map<String, Object> log = map(said.get("log"));
        String origin = text(log, "origin");
        long index = (Long) log.get("index");
        Instant until = Instant.now().plus(SOON);
        HttpResponse<byte[]> told;
        while ((told = call("/v1/log/" + origin + "/entry/" + index, HttpRequest.Builder::GET)).statusCode() == 404) {
            must(Instant.now().isBefore(until), "entry", "the promised leaf is not served: the promise is broken");
            Thread.sleep(500);
        }
        String[] halves = new String(told.body(), StandardCharsets.UTF_8).split("\n\n", 2);
        String[] line = halves[0].split("\n");
        boolean form = told.statusCode() == 200 && halves.length == 2 && line.length >= 3 && line[0].equals("c2sp.org/tlog-proof@v1");
        must(form && line[1].startsWith("extra ") && line[2].startsWith("index "), "entry", "is no proof file");
        byte[] leaf = unB64(line[1].substring(6), "entry");
        must(line[2].equals("index " + index), "index", "the proof is about another place than was promised");
        byte[] hash = sha256(new byte[] {0}, leaf);
        must(b64url(hash).equals(log.get("leaf")), "leaf", "the leaf at the promised place is not the one that was promised");
        Map<String, Object> entry = Json.object(leaf);
        Map<String, Object> ours = Map.of("t", "in", "me", partner.get("region"), "peer", card.get("region"), "x", asked.get("jti"), "op", asked.get("op"),
            "status", said.get("status"), "rq", b64url(sha256(request)),
            "rd", b64url(sha256(Json.canonical(said.containsKey("result") ? said.get("result") : said.get("problem")))));
        must(ours.entrySet().stream().allMatch(e -> e.getValue().equals(entry.get(e.getKey()))), "exchange", "the leaf is not about what we asked and were answered");
        String[] checkpoint = checkpoint(halves[1], origin);
        long size = Long.parseLong(checkpoint[1]);
        // RFC 9162 §2.1.3.2
        must(index < size, "path", "the checkpoint does not reach this index");
        long at = index, last = size - 1;
        for (String encoded : Arrays.asList(line).subList(3, line.length)) {
            byte[] sibling = unB64(encoded, "path");
            must(last > 0 && sibling.length == 32, "path", "is too long, or no list of hashes");
            if ((at & 1) == 1 || at == last) {
                hash = sha256(new byte[] {1}, sibling, hash);
                while (at != 0 && (at & 1) == 0) {
                    at >>= 1;
                    last >>= 1;
                }
            } else {
                hash = sha256(new byte[] {1}, hash, sibling);
            }
            at >>= 1;
            last >>= 1;
        }
        must(last == 0 && Arrays.equals(hash, unB64(checkpoint[2], "checkpoint")), "path", "does not lead from the leaf to the signed root");
        return Map.of("proved", index, "origin", origin, "size", size, "root", b64url(hash));
    }

    /** The lines (origin, size, root) of a C2SP checkpoint that the ledger key on the card signed. */
    String[] checkpoint(String note, String origin) throws GeneralSecurityException {
        String[] vkey = text(map(partner.get("ledger")), "vkey").split("\\+", 3);
        byte[] key = Base64.getDecoder().decode(vkey[2]);
        boolean ed25519 = key.length == 33 && key[0] == 1;
        must(ed25519 && HexFormat.of().formatHex(sha256((vkey[0] + "\n").getBytes(StandardCharsets.UTF_8), key)).startsWith(vkey[1]),
            "checkpoint", "the card's vkey is not a well-formed Ed25519 verifier key");
        int end = note.lastIndexOf("\n\n");
        must(end > 0, "checkpoint", "is no signed note");
        String text = note.substring(0, end + 1);
        boolean signed = false;
        for (String each : note.substring(end + 2).split("\n")) {
            if (!each.startsWith("— " + vkey[0] + " ")) continue;
            byte[] blob = unB64(each.substring(each.lastIndexOf(' ') + 1), "checkpoint");
            if (blob.length != 68 || !HexFormat.of().formatHex(blob, 0, 4).equals(vkey[1])) continue;
            byte[] spki = HexFormat.of().parseHex("302a300506032b6570032100" + HexFormat.of().formatHex(key, 1, 33));
            Signature check = Signature.getInstance("Ed25519");
            check.initVerify(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(spki)));
            check.update(text.getBytes(StandardCharsets.UTF_8));
            must(check.verify(Arrays.copyOfRange(blob, 4, 68)), "checkpoint", "its signature does not verify");
            signed = true;
        }
        must(signed, "checkpoint", "is not signed by the ledger key on the partner's card");
        String[] line = text.split("\n");
        must(line.length >= 3 && line[0].equals(origin) && vkey[0].equals(origin) && line[1].matches("[1-9][0-9]{0,17}"), "checkpoint", "is of another log than the one promised");
        return line;
    }

    // --- words for people --------------------------------------------------------------------------------

    /** What an unsigned answer says, for a person who looks for the cause. */
    static String unsigned(HttpResponse<byte[]> told) {
        StringBuilder words = new StringBuilder("HTTP " + told.statusCode());
        try {
            Map<String, Object> problem = Json.object(told.body());
            for (String name : List.of("code", "reason", "title", "title_zh")) if (problem.containsKey(name)) words.append(" ").append(problem.get(name));
        } catch (NotBelieved nothingReadable) {
            // Nothing in it that a person could read.
        }
        told.headers().firstValue("retry-after").ifPresent(again -> words.append("; try again after ").append(again).append(" s"));
        return words.toString();
    }

    /** A signed refusal in words. */
    static void explain(Map<String, Object> problem, Map<String, Object> log) {
        System.err.println(("refused, signed: " + problem.get("status") + " " + problem.get("code") + " " + problem.getOrDefault("reason", "")).stripTrailing());
        System.err.println("  " + problem.get("title_zh") + " / " + problem.get("title"));
        if (problem.containsKey("detail")) System.err.println("  " + problem.get("detail"));
        for (Object each : list(problem, "errors")) {
            Map<String, Object> fault = map(each);
            System.err.println("  " + fault.get("pointer") + " " + fault.get("rule") + ": " + fault.get("message_zh") + " / " + fault.get("message"));
        }
        System.err.println("  retry: " + problem.get("retry") + "   trace: " + problem.getOrDefault("trace", "-") + "   recorded: " + log.get("origin") + " " + log.get("index"));
    }

    static int run(String[] given) throws Exception {
        if (given.length < 2) return usage();
        Client me = new Client(Path.of(given[0]));
        Map<String, Object> file = given.length > 2 ? Json.object(Files.readAllBytes(Path.of(given[2]))) : null, said;
        switch (given[1] + (file == null ? "" : " FILE")) {
            case "ping" -> said = me.ask("ping", Map.of("body", Map.of()));
            case "lookup FILE" -> {
                if (given.length > 3) file.put("authorization", Files.readString(Path.of(given[3])).strip());
                said = me.ask("license.query", file);
            }
            case "submit FILE" -> said = me.ask("application.submit", file);
            case "status FILE" -> {
                file.put("body", Map.of("case", file.get("case")));
                said = me.ask("application.status", file);
            }
            case "proof" -> {
                print(Json.canonical(me.prove()));
                return 0;
            }
            default -> {
                return usage();
            }
        }
        String outcome = said.containsKey("result") ? "result" : "problem";
        print(Json.canonical(Map.of("status", said.get("status"), outcome, said.get(outcome), "exchange", map(said.get("req")).get("jti"), "log", said.get("log"))));
        if (outcome.equals("result")) return 0;
        explain(map(said.get("problem")), map(said.get("log")));
        return 2;
    }

    static int usage() {
        System.err.print(USAGE);
        return 64;
    }

    static void print(byte[] line) {
        System.out.write(line, 0, line.length);
        System.out.println();
    }

    public static void main(String[] given) throws Exception {
        System.setErr(new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.err), true, StandardCharsets.UTF_8));
        int code;
        try {
            code = run(given);
        } catch (NotBelieved | Hint fault) {
            System.err.println(fault.getMessage());
            code = fault instanceof Hint ? 3 : 1;
        } catch (NoSuchFileException missing) {
            System.err.println("no such file: " + missing.getMessage());
            code = 64;
        }
        System.exit(code);
    }

    // --- encodings ------------------------------------------------------------------------------------------

    static String b64url(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    /** The JDK forgives what has two spellings; a message does not. */
    static byte[] unB64url(String text) {
        try {
            byte[] bytes = Base64.getUrlDecoder().decode(text);
            if (bytes.length > 0 && b64url(bytes).equals(text)) return bytes;
        } catch (IllegalArgumentException odd) {
            // As below.
        }
        throw new NotBelieved("shape", "a part is empty or not base64url");
    }

    static byte[] unB64(String text, String check) {
        try {
            return Base64.getDecoder().decode(text);
        } catch (IllegalArgumentException odd) {
            throw new NotBelieved(check, "is not base64");
        }
    }

    static byte[] sha256(byte[]... parts) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            for (byte[] part : parts) digest.update(part);
            return digest.digest();
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> map(Object value) {
        return value instanceof Map ? (Map<String, Object>) value : Map.of();
    }

    @SuppressWarnings("unchecked")
    static List<Object> list(Map<String, Object> of, String name) {
        return of.get(name) instanceof List ? (List<Object>) of.get(name) : List.of();
    }

    static String text(Map<String, Object> of, String name) {
        return String.valueOf(of.get(name));
    }

    /** JSON as the protocol allows it: no name twice, integers within 2^53 only, depth 12; written canonically (RFC 8785). */
    static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        static Map<String, Object> object(byte[] bytes) {
            String text;
            try {
                text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
            } catch (CharacterCodingException fault) {
                throw odd("is not UTF-8");
            }
            Json json = new Json(text);
            Object value = json.value(1);
            json.space();
            if (json.at < text.length() || !(value instanceof Map)) throw odd("is no JSON object");
            return map(value);
        }

        private static NotBelieved odd(String why) {
            return new NotBelieved("shape", "a part " + why);
        }

        private void space() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
        }

        private boolean next(String token) {
            space();
            boolean there = text.startsWith(token, at);
            if (there) at += token.length();
            return there;
        }

        private void need(String token) {
            if (!next(token)) throw odd("is not JSON");
        }

        private Object value(int depth) {
            if (depth > 12) throw odd("is nested too deeply");
            if (next("{")) {
                Map<String, Object> object = new LinkedHashMap<>();
                if (next("}")) return object;
                do {
                    space();
                    String name = string();
                    need(":");
                    if (object.containsKey(name)) throw odd("has a JSON member twice");
                    object.put(name, value(depth + 1));
                } while (next(","));
                need("}");
                return object;
            }
            if (next("[")) {
                List<Object> list = new ArrayList<>();
                if (next("]")) return list;
                do list.add(value(depth + 1)); while (next(","));
                need("]");
                return list;
            }
            if (next("true")) return true;
            if (next("false")) return false;
            if (next("null")) return null;
            if (at < text.length() && text.charAt(at) == '"') return string();
            int start = at;
            while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) at++;
            String number = text.substring(start, at);
            if (number.isEmpty()) throw odd("is not JSON");
            if (!number.matches("0|-?[1-9][0-9]{0,15}") || Math.abs(Long.parseLong(number)) > 1L << 53) throw odd("has a number that is no integer within 2^53");
            return Long.valueOf(number);
        }

        private String string() {
            need("\"");
            StringBuilder out = new StringBuilder();
            while (at < text.length()) {
                char c = text.charAt(at++);
                if (c == '"') return out.toString();
                if (c < 0x20) break;
                if (c != '\\') {
                    out.append(c);
                    continue;
                }
                if (at >= text.length()) break;
                char escaped = text.charAt(at++);
                int plain = "\"\\/bfnrt".indexOf(escaped);
                if (plain >= 0) {
                    out.append("\"\\/\b\f\n\r\t".charAt(plain));
                } else if (escaped == 'u' && at + 4 <= text.length() && text.substring(at, at + 4).matches("[0-9a-fA-F]{4}")) {
                    out.append((char) Integer.parseInt(text.substring(at, at += 4), 16));
                } else {
                    break;
                }
            }
            throw odd("has a broken string");
        }

        static byte[] canonical(Object value) {
            StringBuilder out = new StringBuilder();
            write(value, out);
            return out.toString().getBytes(StandardCharsets.UTF_8);
        }

        private static void write(Object value, StringBuilder out) {
            if (value instanceof Map) {
                String between = "{";
                for (Map.Entry<String, Object> member : new TreeMap<>(map(value)).entrySet()) {
                    out.append(between);
                    write(member.getKey(), out);
                    out.append(':');
                    write(member.getValue(), out);
                    between = ",";
                }
                out.append(between.equals("{") ? "{}" : "}");
            } else if (value instanceof List<?> list) {
                String between = "[";
                for (Object each : list) {
                    out.append(between);
                    write(each, out);
                    between = ",";
                }
                out.append(between.equals("[") ? "[]" : "]");
            } else if (value instanceof String string) {
                out.append('"');
                for (char c : string.toCharArray()) {
                    int named = "\"\\\b\f\n\r\t".indexOf(c);
                    if (named >= 0) out.append('\\').append("\"\\bfnrt".charAt(named));
                    else if (c < 0x20) out.append(String.format("\\u%04x", (int) c));
                    else out.append(c);
                }
                out.append('"');
            } else {
                out.append(value);
            }
        }
    }
}
