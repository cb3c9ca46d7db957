"""
A client made of Python's paho-mqtt, unmodified, for clients.e2e.test.ts.

    paho-client.py VERSION TRANSPORT PORT CA subscribe CLIENT_ID FILTER [WILL_TOPIC WILL_BODY]
    paho-client.py VERSION TRANSPORT PORT CA publish TOPIC BODY QOS RETAIN

VERSION is 4 (MQTT 3.1.1) or 5, TRANSPORT tcp or websockets, CA a certificate or empty (no TLS). `subscribe` prints
`subscribed` and `seen TOPIC QOS RETAIN BODY` for each message, and leaves in good order on SIGTERM.
"""
import signal
import sys
from threading import Event

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_SECONDS = 20
version, transport, port, ca, action, *words = sys.argv[1:]
is_version_5 = version == "5"


def say(*words):
    """In one write: two threads speak, and `print` writes the line and its end apart."""
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def connect(client_id, is_lasting, prepare):
    kinds = {"protocol": mqtt.MQTTv5 if is_version_5 else mqtt.MQTTv311, "transport": transport}
    if not is_version_5:
        kinds["clean_session"] = not is_lasting
    client = mqtt.Client(client_id, **kinds)
    if transport == "websockets":
        client.ws_set_options(path="/mqtt")
    if ca:
        client.tls_set(ca)
    connected = Event()
    # The last parameter, properties, is there in version 5 only.
    client.on_connect = lambda client, data, flags, reason, properties=None: connected.set()
    prepare(client)
    if is_version_5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if is_lasting else 0
        client.connect("localhost", int(port), clean_start=not is_lasting, properties=properties)
    else:
        client.connect("localhost", int(port))
    client.loop_start()
    if not connected.wait(PATIENCE_SECONDS):
        sys.exit("not connected")
    return client


def subscribe(client_id, topic_filter, will_topic=None, will_body=None):
    gone = Event()
    subscribed = Event()

    def prepare(client):
        client.on_message = lambda client, data, message: say(
            "seen", message.topic, message.qos, int(message.retain), message.payload.decode()
        )
        client.on_subscribe = lambda *parameters: subscribed.set()
        if will_topic is not None:
            client.will_set(will_topic, will_body, qos=1)

    signal.signal(signal.SIGTERM, lambda number, frame: gone.set())
    client = connect(client_id, True, prepare)
    client.subscribe(topic_filter, qos=2)
    if not subscribed.wait(PATIENCE_SECONDS):
        sys.exit("not subscribed")
    say("subscribed")
    gone.wait()
    client.disconnect()
    client.loop_stop()


def publish(topic, body, qos, retain):
    client = connect("", False, lambda client: None)
    client.publish(topic, body or None, int(qos), retain == "1").wait_for_publish(PATIENCE_SECONDS)
    client.disconnect()
    client.loop_stop()


{"subscribe": subscribe, "publish": publish}[action](*words)
