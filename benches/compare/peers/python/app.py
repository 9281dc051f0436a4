# The lookup as a Python service: FastAPI on uvicorn, joserfc, fastjsonschema.
import asyncio, hashlib, json, os, queue, threading, time, uuid
from base64 import urlsafe_b64encode

import fastjsonschema
from fastapi import FastAPI, Request, Response
from joserfc import jws
from joserfc.jwk import ECKey

DIR = os.environ["PEER_DIR"]
ME, PARTNER, SKEW = "urn:tongban:gw:421202", "urn:tongban:gw:331083", 60
ES256 = ["ES256"]


def load(name):
    with open(f"{DIR}/{name}") as file:
        return json.load(file)


def key(name):
    return ECKey.import_key(load(name))


partner, authority, ours = key("partner.jwk"), key("authority.jwk"), key("answer.jwk")
KID = load("answer.jwk")["kid"]
check_schema = fastjsonschema.compile(load("lookup.schema.json"))

licenses = {}
with open(f"{DIR}/licenses.jsonl") as file:
    for line in file:
        license = json.loads(line)
        for holder in license["holders"]:
            licenses[license["type_code"], holder["code"]] = license


class Refused(Exception):
    def __init__(self, status, reason):
        self.status, self.reason = status, reason


def digest(data):
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def opened(token, by, typ):
    try:
        message = jws.deserialize_compact(token, by, algorithms=ES256)
        if message.protected.get("typ") != typ:
            raise ValueError("typ")
        return json.loads(message.payload)
    except Exception:
        raise Refused(401, "signature")


young, old = set(), set()


def first_use(jti):
    global young, old
    if jti in young or jti in old:
        raise Refused(409, "replay")
    if len(young) >= 500_000:
        young, old = set(), young
    young.add(jti)


verified, uses = {}, {}


def authorize(ask, now):
    place = hashlib.sha256(ask["authorization"].encode()).digest()
    token = verified.get(place)
    if token is None:
        token = opened(ask["authorization"], authority, "tongban-authorization+jwt")
        if len(verified) >= 100_000:
            verified.clear()
        verified[place] = token
    license, detail = ask["body"]["license"], token["authorization_details"][0]
    holder = f"{token['jti']}\0{license['holder']['type']}\0{license['holder']['number']}"
    if not (
        token["aud"] == ME and token["client_id"] == PARTNER and token["exp"] + SKEW > now
        and token["holder"] == digest(holder.encode())
        and license["type"] in detail["datatypes"] and detail["item"] == ask["item"] and detail["case"] == ask["case"]
        and all(field in detail["fields"] for field in ask["body"]["fields"])
    ):
        raise Refused(403, "authorization")
    used = uses.get(token["jti"], 0)
    if used >= detail["max_uses"]:
        raise Refused(403, "used up")
    uses[token["jti"]] = used + 1


waiting = queue.SimpleQueue()


def keep_record():
    """One flush for all that wait."""
    log = os.open(f"{DIR}/audit.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    last = ""
    while True:
        batch = [waiting.get()]
        while not waiting.empty():
            batch.append(waiting.get())
        lines = []
        for entry, _, _ in batch:
            last = hashlib.sha256((last + entry).encode()).hexdigest()
            lines.append(f"{last} {entry}\n")
        os.write(log, "".join(lines).encode())
        os.fdatasync(log)
        loop = batch[0][1]
        loop.call_soon_threadsafe(lambda done=[done for _, _, done in batch]: [one.set_result(None) for one in done if not one.done()])


threading.Thread(target=keep_record, daemon=True).start()


async def record(entry):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    waiting.put((json.dumps(entry, separators=(",", ":")), loop, done))
    await done


def cut(license, fields):
    return {
        "license_id": license["license_id"], "type": license["type_code"], "name": license["name"],
        "issuer": {"code": license["issuer_code"], "name": license["issuer_name"]}, "issued_on": license["issued_on"],
        "valid_from": license["valid_from"], "valid_to": license["valid_to"], "long_term": license["long_term"],
        "status": license["status"], "data": {field: license["data"].get(field) for field in fields},
    }


async def lookup(message):
    ask, now = opened(message, partner, "tongban-request+jwt"), int(time.time())
    try:
        check_schema(ask)
    except fastjsonschema.JsonSchemaException:
        raise Refused(400, "schema")
    if ask["iss"] != PARTNER or ask["aud"] != ME:
        raise Refused(403, "parties")
    if ask["exp"] + SKEW <= now or ask["iat"] - SKEW > now:
        raise Refused(400, "times")
    first_use(ask["jti"])
    authorize(ask, now)
    license = ask["body"]["license"]
    found = licenses.get((license["type"], license["holder"]["number"]))
    result = {"found": found is not None, "source": "cache", "as_of": now,
              "licenses": [cut(found, ask["body"]["fields"])] if found else []}
    request = digest(message)
    await record({"at": int(time.time() * 1000), "x": ask["jti"], "peer": ask["iss"], "op": ask["op"], "item": ask["item"],
                  "status": 200, "rq": request, "rd": digest(json.dumps(result).encode())})
    claims = {"ver": 1, "iss": ME, "aud": ask["iss"], "iat": now, "exp": now + 120, "jti": str(uuid.uuid4()),
              "req": {"jti": ask["jti"], "digest": request}, "op": ask["op"], "status": 200, "result": result}
    header = {"alg": "ES256", "typ": "tongban-response+jwt", "kid": KID}
    return jws.serialize_compact(header, json.dumps(claims, ensure_ascii=False).encode(), ours, algorithms=ES256)


app = FastAPI()


@app.post("/v1/exchange")
async def exchange(request: Request):
    try:
        answer = await lookup(await request.body())
    except Refused as refused:
        return Response(refused.reason, status_code=refused.status)
    return Response(answer, media_type="application/tongban-response+jwt")
