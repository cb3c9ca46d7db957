// wakeline-load: speaks MQTT to any server and measures it. One process, one thread, one JSON line on stdout.
#include <sys/resource.h>

#include <cstdio>
#include <cstring>

#include "modes.hpp"

namespace {

constexpr char kHelp[] = R"(wakeline-load MODE [--option value]...

Speaks MQTT to a server and prints one line of JSON; progress is on stderr. Exit code 0: all that was sent arrived,
in order, and was acknowledged; 1: the run could not be done; 2: it was done and something is missing.

Modes
  pairs     publishers to connected subscribers, QoS 1, persistent sessions; the time ends when all is delivered and
            acknowledged and the server has read every acknowledgement (a ping)
              --publishers 4 --subscribers 4 --window 100 --seconds 5 | --messages N --warm-up 1
  absent    devices connect, subscribe and leave; then publishers fill their inboxes: PUBACK per second
              --devices 10000 --publishers 4 --window 100 --seconds 5 | --messages N --warm-up 1
            to leave a million waiting: --messages 1000000 --window 1000 --warm-up 0
  drain     the devices of an `absent` run with the same --prefix come back and must find --expect N (its sentInAll)
              --devices 10000 --publishers 4
  fanout    one publisher to many on one topic, one publication after the other
              --subscribers 5000 --publications 20 --qos 1
  latency   idle devices, each with a topic of its own; by the clock, messages to random ones; from the scheduled
            moment to the moment when the device's socket can be read
              --connections 10000 --rate 1000 --seconds 10 --warm-up 2 --qos 1 --seed 1
  stuck     one publisher to many on one topic by the clock, while some never read; latency of the others
              --subscribers 1000 --stuck 100 --rate 20 --seconds 10 --warm-up 5 --qos 1
  connects  CONNECT and SUBSCRIBE, --connects-in-flight at once
              --connections 10000 [--clean]
  idle      connects, prints a line, then obeys lines on stdin: `more N` (again with a line), `quit`
              --connections 2000 [--clean]
  null      a server that answers and copies and keeps nothing, until stdin ends: the generator's own ceiling
              --port 0 (prints the port)

Options of all modes but null
  --host 127.0.0.1 --port 1883
  --protocol 3.1.1 | 5           --receive-maximum N (MQTT 5)
  --prefix load                  begins client ids and topics; another one for each run on one server
  --payload 200                  bytes of a message, at least 24
  --connects-in-flight 100
  --sources 16                   on loopback: connections come from so many addresses (0: from one, the kernel's)
  --timeout 60                   seconds without progress after which a run has failed
  --server-pid PID[,PID...]      tells the CPU seconds and the resident memory of these processes as well
)";

constexpr struct {
  const char* name;
  int (*run)(Options&);
} kModes[] = {
    {"pairs", runPairs},   {"absent", runAbsent}, {"drain", runDrain},
    {"fanout", runFanout}, {"latency", runLatency}, {"stuck", runStuck},
    {"connects", runConnects}, {"idle", runIdle}, {"null", runNull},
};

/** As many descriptors as the system lets us have. */
void raiseDescriptors() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("cannot raise the limit of descriptors");
}

}  // namespace

Common::Common(Options& options) : server(options.text("server-pid", "")) {
  address.host = options.text("host", "127.0.0.1");
  address.port = static_cast<uint16_t>(options.number("port", 1883));
  address.sources = static_cast<unsigned>(options.number("sources", 16));
  const std::string protocol = options.text("protocol", "3.1.1");
  if (protocol != "3.1.1" && protocol != "5") fail("--protocol is 3.1.1 or 5");
  version = protocol == "5" ? mqtt::kV5 : mqtt::kV311;
  prefix = options.text("prefix", "load");
  connectsInFlight = options.number("connects-in-flight", 100);
  payloadBytes = options.number("payload", 200);
  if (payloadBytes < sizeof(mqtt::Stamp)) fail("--payload is at least " + std::to_string(sizeof(mqtt::Stamp)));
  timeoutNs = static_cast<int64_t>(options.real("timeout", 60) * 1e9);
  receiveMaximum = static_cast<uint16_t>(options.number("receive-maximum", 0));
}

ClientOptions Common::client(const std::string& id, bool isClean, const std::string& filter, int qos) const {
  ClientOptions client;
  client.version = version;
  client.connect.clientId = id;
  client.connect.isClean = isClean;
  client.connect.receiveMaximum = receiveMaximum;
  client.filter = filter;
  client.qos = qos;
  return client;
}

int main(int count, char** arguments) {
  if (count < 2 || std::strcmp(arguments[1], "--help") == 0) {
    std::fputs(kHelp, count < 2 ? stderr : stdout);
    return count < 2 ? 1 : 0;
  }
  raiseDescriptors();
  for (const auto& mode : kModes) {
    if (std::strcmp(mode.name, arguments[1]) != 0) continue;
    Options options(count - 2, arguments + 2);
    return mode.run(options);
  }
  fail(std::string("unknown mode '") + arguments[1] + "'; see --help");
}
