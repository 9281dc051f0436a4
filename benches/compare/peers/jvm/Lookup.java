// The lookup as a Java service: embedded Tomcat (what Spring Boot runs on), Jackson, and the signature provider of the JDK
// or, with PEER_PROVIDER=BC, of BouncyCastle. No JSON Schema library is in Debian: the same fields are checked by hand.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Security;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.net.SSLHostConfig;
import org.apache.tomcat.util.net.SSLHostConfigCertificate;

public class Lookup {
    static final String ME = "urn:tongban:gw:421202", PARTNER = "urn:tongban:gw:331083", PASSWORD = "changeit";
    static final long SKEW = 60;
    static final int MOST_IDS = 500_000, MOST_TOKENS = 100_000;
    static final Path DIR = Path.of(System.getenv("PEER_DIR"));
    static final boolean BC = "BC".equals(System.getenv("PEER_PROVIDER"));
    static final String ALGORITHM = BC ? "SHA256withPLAIN-ECDSA" : "SHA256withECDSAinP1363Format";
    static final String PROVIDER = BC ? "BC" : "SunEC";
    static final ObjectMapper JSON = new ObjectMapper();
    static final Base64.Decoder DECODE = Base64.getUrlDecoder();
    static final Base64.Encoder ENCODE = Base64.getUrlEncoder().withoutPadding();

    static class Refused extends Exception {
        final int status;
        Refused(int status, String reason) { super(reason, null, false, false); this.status = status; }
    }

    static PublicKey partner, authority;
    static PrivateKey ours;
    static String kid;
    static final Map<String, JsonNode> licenses = new ConcurrentHashMap<>();
    static volatile Set<String> young = ConcurrentHashMap.newKeySet(), old = ConcurrentHashMap.newKeySet();
    static final Map<String, JsonNode> verified = new ConcurrentHashMap<>();
    static final Map<String, AtomicInteger> uses = new ConcurrentHashMap<>();

    static long now() { return System.currentTimeMillis() / 1000; }

    static byte[] sha256(String text) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
    }

    static JsonNode open(String token, PublicKey by, String typ) throws Refused {
        try {
            int head = token.indexOf('.'), signed = token.indexOf('.', head + 1);
            JsonNode header = JSON.readTree(DECODE.decode(token.substring(0, head)));
            Signature signature = Signature.getInstance(ALGORITHM, PROVIDER);
            signature.initVerify(by);
            signature.update(token.substring(0, signed).getBytes(StandardCharsets.US_ASCII));
            boolean holds = "ES256".equals(header.path("alg").asText()) && typ.equals(header.path("typ").asText())
                && signature.verify(DECODE.decode(token.substring(signed + 1)));
            if (!holds) throw new Refused(401, "signature");
            return JSON.readTree(DECODE.decode(token.substring(head + 1, signed)));
        } catch (Refused refused) {
            throw refused;
        } catch (Exception broken) {
            throw new Refused(401, "signature");
        }
    }

    static String sign(byte[] claims) throws Exception {
        String header = "{\"alg\":\"ES256\",\"typ\":\"tongban-response+jwt\",\"kid\":\"" + kid + "\"}";
        String input = ENCODE.encodeToString(header.getBytes(StandardCharsets.US_ASCII)) + "." + ENCODE.encodeToString(claims);
        Signature signature = Signature.getInstance(ALGORITHM, PROVIDER);
        signature.initSign(ours);
        signature.update(input.getBytes(StandardCharsets.US_ASCII));
        return input + "." + ENCODE.encodeToString(signature.sign());
    }

    static final Map<String, Pattern> SHAPES = Map.of(
        "/iss", Pattern.compile("urn:tongban:gw:[0-9]{6}"), "/aud", Pattern.compile("urn:tongban:gw:[0-9]{6}"),
        "/jti", Pattern.compile("[A-Za-z0-9_-]{22,64}"), "/op", Pattern.compile("license\\.query"),
        "/item", Pattern.compile("[0-9A-Z]{31}"), "/agreement", Pattern.compile("[A-Za-z0-9._-]{1,64}"),
        "/basis", Pattern.compile("consent|statutory_duty|emergency"), "/body/mode", Pattern.compile("read"),
        "/body/license/type", Pattern.compile("[0-9A-Z]{21}"), "/body/license/holder/number", Pattern.compile("[0-9]{17}[0-9X]"));
    static final Set<String> MEMBERS = Set.of("ver", "iss", "aud", "iat", "exp", "jti", "op", "item", "case", "basis", "purpose",
        "operator", "agreement", "body", "authorization");

    static void fits(JsonNode ask) throws Refused {
        for (var names = ask.fieldNames(); names.hasNext();) if (!MEMBERS.contains(names.next())) throw new Refused(400, "schema");
        for (var shape : SHAPES.entrySet()) {
            JsonNode value = ask.at(shape.getKey());
            if (!value.isTextual() || !shape.getValue().matcher(value.asText()).matches()) throw new Refused(400, "schema");
        }
        boolean whole = ask.path("ver").asInt() == 1 && ask.path("iat").isIntegralNumber() && ask.path("exp").isIntegralNumber()
            && within(ask.path("purpose"), 200) && within(ask.path("operator"), 64) && within(ask.path("authorization"), 8192)
            && ask.at("/body/fields").isArray() && !ask.at("/body/fields").isEmpty();
        if (!whole) throw new Refused(400, "schema");
        for (JsonNode field : ask.at("/body/fields")) if (!within(field, 64)) throw new Refused(400, "schema");
    }

    static boolean within(JsonNode text, int most) {
        return text.isTextual() && !text.asText().isEmpty() && text.asText().length() <= most;
    }

    static void firstUse(String id) throws Refused {
        if (old.contains(id) || !young.add(id)) throw new Refused(409, "replay");
        if (young.size() >= MOST_IDS) { old = young; young = ConcurrentHashMap.newKeySet(); }
    }

    static void authorize(JsonNode ask) throws Exception {
        String text = ask.get("authorization").asText(), digest = ENCODE.encodeToString(sha256(text));
        JsonNode token = verified.get(digest);
        if (token == null) {
            token = open(text, authority, "tongban-authorization+jwt");
            if (verified.size() >= MOST_TOKENS) verified.clear();
            verified.put(digest, token);
        }
        JsonNode license = ask.at("/body/license"), holder = license.get("holder"), detail = token.at("/authorization_details/0");
        String id = token.path("jti").asText();
        String held = id + "\0" + holder.get("type").asText() + "\0" + holder.get("number").asText();
        boolean covered = ME.equals(token.path("aud").asText()) && PARTNER.equals(token.path("client_id").asText())
            && token.path("exp").asLong() + SKEW > now() && ENCODE.encodeToString(sha256(held)).equals(token.path("holder").asText())
            && has(detail.path("datatypes"), license.get("type")) && detail.path("item").equals(ask.get("item"))
            && detail.path("case").equals(ask.path("case"));
        for (JsonNode field : ask.at("/body/fields")) covered &= has(detail.path("fields"), field);
        if (!covered) throw new Refused(403, "authorization");
        int used = uses.computeIfAbsent(id, none -> new AtomicInteger()).incrementAndGet();
        if (used > detail.path("max_uses").asInt()) throw new Refused(403, "used up");
    }

    static boolean has(JsonNode list, JsonNode word) {
        for (JsonNode known : list) if (known.equals(word)) return true;
        return false;
    }

    record Entry(String json, CompletableFuture<Void> done) {}
    static final LinkedBlockingQueue<Entry> waiting = new LinkedBlockingQueue<>();

    /** One flush for all that wait. */
    static void keepRecord() {
        try (FileChannel log = FileChannel.open(DIR.resolve("audit.log"), StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            String last = "";
            List<Entry> batch = new ArrayList<>();
            while (true) {
                batch.clear();
                batch.add(waiting.take());
                waiting.drainTo(batch);
                StringBuilder lines = new StringBuilder();
                for (Entry entry : batch) {
                    last = HexFormat.of().formatHex(sha256(last + entry.json));
                    lines.append(last).append(' ').append(entry.json).append('\n');
                }
                log.write(ByteBuffer.wrap(lines.toString().getBytes(StandardCharsets.UTF_8)));
                log.force(false);
                for (Entry entry : batch) entry.done.complete(null);
            }
        } catch (Exception broken) {
            broken.printStackTrace();
            System.exit(1);
        }
    }

    static String lookup(String message) throws Exception {
        JsonNode ask = open(message, partner, "tongban-request+jwt");
        fits(ask);
        String jti = ask.get("jti").asText(), from = ask.get("iss").asText();
        if (!from.equals(PARTNER) || !ask.get("aud").asText().equals(ME)) throw new Refused(403, "parties");
        if (ask.get("exp").asLong() + SKEW <= now() || ask.get("iat").asLong() - SKEW > now()) throw new Refused(400, "times");
        firstUse(jti);
        authorize(ask);
        JsonNode asked = ask.at("/body/license");
        JsonNode found = licenses.get(asked.get("type").asText() + " " + asked.at("/holder/number").asText());
        ObjectNode result = JSON.createObjectNode();
        result.put("found", found != null).put("source", "cache").put("as_of", now());
        var told = result.putArray("licenses");
        if (found != null) told.add(cut(found, ask.at("/body/fields")));
        String request = ENCODE.encodeToString(sha256(message));
        ObjectNode entry = JSON.createObjectNode();
        entry.put("at", System.currentTimeMillis()).put("x", jti).put("peer", from).put("op", "license.query")
            .put("item", ask.get("item").asText()).put("status", 200).put("rq", request)
            .put("rd", ENCODE.encodeToString(sha256(JSON.writeValueAsString(result))));
        Entry waits = new Entry(JSON.writeValueAsString(entry), new CompletableFuture<>());
        waiting.put(waits);
        waits.done.get();
        ObjectNode claims = JSON.createObjectNode();
        claims.put("ver", 1).put("iss", ME).put("aud", from).put("iat", now()).put("exp", now() + 120)
            .put("jti", UUID.randomUUID().toString());
        claims.putObject("req").put("jti", jti).put("digest", request);
        claims.put("op", "license.query").put("status", 200).set("result", result);
        return sign(JSON.writeValueAsBytes(claims));
    }

    static ObjectNode cut(JsonNode license, JsonNode fields) {
        ObjectNode told = JSON.createObjectNode();
        told.set("license_id", license.get("license_id"));
        told.set("type", license.get("type_code"));
        told.set("name", license.get("name"));
        told.putObject("issuer").<ObjectNode>set("code", license.get("issuer_code")).set("name", license.get("issuer_name"));
        for (String name : List.of("issued_on", "valid_from", "valid_to", "long_term", "status")) told.set(name, license.get(name));
        ObjectNode data = told.putObject("data");
        for (JsonNode field : fields) data.set(field.asText(), license.at("/data").get(field.asText()));
        return told;
    }

    static byte[] pem(String name) throws Exception {
        return Base64.getMimeDecoder().decode(Files.readString(DIR.resolve(name)).replaceAll("-----[^-]+-----", ""));
    }

    static Certificate certificate(String name) throws Exception {
        try (var in = Files.newInputStream(DIR.resolve(name))) {
            return CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }

    static SSLHostConfig tls() throws Exception {
        KeyStore trusted = KeyStore.getInstance("PKCS12"), own = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("partner", certificate("client.crt"));
        own.load(null, null);
        PrivateKey key = KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(pem("server.key")));
        own.setKeyEntry("server", key, PASSWORD.toCharArray(), new Certificate[] {certificate("server.crt")});
        SSLHostConfig config = new SSLHostConfig();
        config.setProtocols("TLSv1.3");
        config.setCertificateVerification("required");
        config.setTrustStore(trusted);
        SSLHostConfigCertificate ours = new SSLHostConfigCertificate(config, SSLHostConfigCertificate.Type.EC);
        ours.setCertificateKeystore(own);
        ours.setCertificateKeystorePassword(PASSWORD);
        config.addCertificate(ours);
        return config;
    }

    static class Door extends HttpServlet {
        @Override protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
            String message = new String(request.getInputStream().readAllBytes(), StandardCharsets.US_ASCII);
            try {
                byte[] answer = lookup(message).getBytes(StandardCharsets.US_ASCII);
                response.setContentType("application/tongban-response+jwt");
                response.setContentLength(answer.length);
                response.getOutputStream().write(answer);
            } catch (Refused refused) {
                response.setStatus(refused.status);
            } catch (Exception broken) {
                response.setStatus(500);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        // Last: TLS stays with the JDK's own.
        if (BC) Security.addProvider(new org.bouncycastle.jce.provider.BouncyCastleProvider());
        KeyFactory keys = KeyFactory.getInstance("EC", PROVIDER);
        partner = keys.generatePublic(new X509EncodedKeySpec(pem("partner.pem")));
        authority = keys.generatePublic(new X509EncodedKeySpec(pem("authority.pem")));
        ours = keys.generatePrivate(new PKCS8EncodedKeySpec(pem("answer.pem")));
        kid = JSON.readTree(DIR.resolve("answer.jwk").toFile()).get("kid").asText();
        try (BufferedReader lines = Files.newBufferedReader(DIR.resolve("licenses.jsonl"))) {
            for (String line; (line = lines.readLine()) != null;) {
                JsonNode license = JSON.readTree(line);
                for (JsonNode holder : license.get("holders"))
                    licenses.put(license.get("type_code").asText() + " " + holder.get("code").asText(), license);
            }
        }
        Thread keeper = new Thread(Lookup::keepRecord);
        keeper.setDaemon(true);
        keeper.start();

        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(DIR.resolve("tomcat").toString());
        Connector door = new Connector("org.apache.coyote.http11.Http11NioProtocol");
        door.setPort(Integer.parseInt(System.getenv("PEER_PORT")));
        door.setSecure(true);
        door.setScheme("https");
        door.setProperty("address", "127.0.0.1");
        door.setProperty("SSLEnabled", "true");
        door.setProperty("maxKeepAliveRequests", "-1");
        door.addSslHostConfig(tls());
        tomcat.setConnector(door);
        var context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "door", new Door());
        context.addServletMappingDecoded("/v1/exchange", "door");
        tomcat.start();
        tomcat.getServer().await();
    }
}
