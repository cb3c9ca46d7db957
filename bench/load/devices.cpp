// Connected devices and how soon they hear: idle ones (latency), beside stuck ones (stuck), how fast they connect
// (connects), and what they cost while nothing happens (idle).
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "modes.hpp"

namespace {

/** The last moments before a message is due are waited out awake: to be woken takes the kernel about as long. */
constexpr int64_t kSpinNs = 100'000;

/** What the devices of a run heard. */
struct Heard {
  uint32_t round = 0;
  uint64_t delivered = 0;
  std::vector<int64_t> latenciesNs;
};

class Device final : public Client {
 public:
  Device(Loop& loop, ClientOptions options, Heard& heard) : Client(loop, std::move(options)), heard_(heard) {}

  /** From now on it reads nothing, and whether the server keeps it is the server's business. */
  void stick() {
    isStuck_ = true;
    setReading(false);
  }
  bool wasClosed() const { return wasClosed_; }

 private:
  void onPublish(const mqtt::Publish& publish) override {
    if (publish.qos == 1) {
      mqtt::appendPuback(out, publish.id);
      touch();
    }
    mqtt::Stamp stamp;
    if (!publish.stamp(stamp) || stamp.round != heard_.round) return;  // of the warm-up
    heard_.delivered++;
    heard_.latenciesNs.push_back(loop_.turnNs() - stamp.sentNs);
  }

  void onGone(int errorNumber) override {
    if (!isStuck_) Client::onGone(errorNumber);
    wasClosed_ = true;
  }

  Heard& heard_;
  bool isStuck_ = false;
  bool wasClosed_ = false;
};

/** Sends by the clock, whatever the server does: a late answer delays nothing, so no wait is left out of the count. */
class PacedPublisher final : public Client {
 public:
  PacedPublisher(Common& common, size_t topics, int qos)
      : Client(common.loop, common.client(common.prefix + "-p", true)) {
    for (size_t topic = 0; topic < topics; topic++)
      templates_.push_back(
          std::make_unique<mqtt::PublishTemplate>(common.version, common.topicOf(topic), qos, common.payloadBytes));
  }

  void send(size_t topic, int64_t scheduledNs, uint32_t round) {
    nextId_ = nextId_ >= 65'534 ? 1 : static_cast<uint16_t>(nextId_ + 1);
    templates_[topic]->append(out, nextId_, {sent++, scheduledNs, 0, round});
    touch();
  }

  uint64_t sent = 0;
  uint64_t acknowledged = 0;

 private:
  void onPuback(uint16_t) override { acknowledged++; }

  std::vector<std::unique_ptr<mqtt::PublishTemplate>> templates_;
  uint16_t nextId_ = 0;
};

struct Pace {
  double perSecond;
  double seconds;
};

/** Publishes at the pace, each to a topic that `seed` chooses; returns how late each left, by the schedule. */
std::vector<int64_t> runPaced(Common& common, PacedPublisher& publisher, Heard& heard, const Pace& pace,
                              size_t topics, uint64_t copies, unsigned seed, int qos) {
  std::mt19937 random(seed);
  heard.round++;
  heard.delivered = 0;
  heard.latenciesNs.clear();
  const auto count = static_cast<uint64_t>(pace.perSecond * pace.seconds);
  if (count == 0) fail("--rate and --seconds make no message");
  heard.latenciesNs.reserve(count * copies);
  const uint64_t acknowledgedBefore = publisher.acknowledged;
  const double stepNs = 1e9 / pace.perSecond;
  const int64_t beginNs = clockNs() + 1'000'000;
  std::vector<int64_t> lateNs;
  lateNs.reserve(count);
  Progress progress;
  int64_t lastNs = beginNs;
  uint64_t lastDelivered = 0;
  for (uint64_t index = 0; heard.delivered < count * copies || index < count ||
                           (qos == 1 && publisher.acknowledged - acknowledgedBefore < count);) {
    const int64_t now = clockNs();
    int64_t nextNs = now + 10'000'000;
    while (index < count) {
      const int64_t dueNs = beginNs + static_cast<int64_t>(stepNs * static_cast<double>(index));
      if (dueNs > now) {
        nextNs = std::min(nextNs, dueNs);
        break;
      }
      publisher.send(topics == 1 ? 0 : random() % topics, dueNs, heard.round);
      lateNs.push_back(now - dueNs);
      index++;
    }
    common.loop.turn(std::max<int64_t>(0, nextNs - now - kSpinNs));
    if (heard.delivered != lastDelivered) lastNs = common.loop.turnNs();
    lastDelivered = heard.delivered;
    progress.tell("%llu sent, %llu delivered", static_cast<unsigned long long>(publisher.sent),
                  static_cast<unsigned long long>(heard.delivered));
    if (common.loop.turnNs() - lastNs > common.timeoutNs) break;  // the caller tells what is missing
  }
  return lateNs;
}

int pacedVerdict(Report& report, const Heard& heard, uint64_t expected) {
  report.add("lost", expected > heard.delivered ? expected - heard.delivered : uint64_t{0});
  report.print();
  return heard.delivered == expected ? 0 : 2;
}

std::vector<std::unique_ptr<Device>> connectDevices(Common& common, Fleet& fleet, Heard& heard, size_t count,
                                                    bool isClean, bool isOneTopic, int qos, size_t first = 0) {
  std::vector<std::unique_ptr<Device>> devices;
  for (size_t index = first; index < first + count; index++) {
    devices.push_back(std::make_unique<Device>(
        common.loop,
        common.client(common.deviceId(index), isClean, common.topicOf(isOneTopic ? 0 : index), qos), heard));
    fleet.add(*devices.back());
  }
  fleet.connectAll(common.timeoutNs, "devices");
  return devices;
}

/** Lines of standard input: `more N`, `quit`; its end is `quit`. */
struct Orders {
  std::string text;
  bool isOver = false;

  static void readable(void* context) {
    auto& orders = *static_cast<Orders*>(context);
    char bytes[256];
    const ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got <= 0) orders.isOver = true;
    else orders.text.append(bytes, static_cast<size_t>(got));
  }

  /** Waits for a line; false at the end. */
  bool next(Loop& loop, std::string& line) {
    while (true) {
      const size_t end = text.find('\n');
      if (end != std::string::npos) {
        line = text.substr(0, end);
        text.erase(0, end + 1);
        return line != "quit";
      }
      if (isOver) return false;
      loop.turn(-1);
    }
  }
};

}  // namespace

int runLatency(Options& options) {
  Common common(options);
  const size_t count = options.number("connections", 10'000);
  const int qos = static_cast<int>(options.number("qos", 1));
  const Pace pace{options.real("rate", 1'000), options.real("seconds", 10)};
  const double warmUp = options.real("warm-up", 2);
  const auto seed = static_cast<unsigned>(options.number("seed", 1));
  options.refuseUnknown();
  if (qos > 1) fail("--qos is 0 or 1");

  prctl(PR_SET_TIMERSLACK, 1UL);  // else the kernel rounds waits by 50 µs
  Heard heard;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  const auto devices = connectDevices(common, fleet, heard, count, false, false, 1);
  PacedPublisher publisher(common, count, qos);
  fleet.add(publisher);
  fleet.connectAll(common.timeoutNs, "publisher");
  if (warmUp > 0) runPaced(common, publisher, heard, {pace.perSecond, warmUp}, count, 1, seed + 1, qos);
  Measurement measurement(common.server);
  measurement.begin();
  std::vector<int64_t> lateNs = runPaced(common, publisher, heard, pace, count, 1, seed, qos);
  measurement.end();

  Report report("latency");
  report.addCount("connections", count);
  report.addCount("qos", static_cast<size_t>(qos));
  report.add("rate", pace.perSecond);
  report.addCount("seed", seed);
  measurement.addTo(report, heard.delivered);
  report.addLatency("latency", heard.latenciesNs);
  report.addLatency("sendLate", lateNs);
  return pacedVerdict(report, heard, lateNs.size());
}

int runStuck(Options& options) {
  Common common(options);
  const size_t count = options.number("subscribers", 1'000);
  const size_t stuck = options.number("stuck", 100);
  const int qos = static_cast<int>(options.number("qos", 1));
  const Pace pace{options.real("rate", 20), options.real("seconds", 10)};
  const double warmUp = options.real("warm-up", 5);
  options.refuseUnknown();
  if (qos > 1) fail("--qos is 0 or 1");
  if (stuck >= count) fail("--stuck must leave some that read");

  prctl(PR_SET_TIMERSLACK, 1UL);
  Heard heard;
  Heard unheard;
  Address small = common.address;
  small.receiveBufferBytes = 4096;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  Fleet stuckFleet(common.loop, small, common.connectsInFlight);
  const auto devices = connectDevices(common, fleet, heard, count - stuck, false, true, qos);
  const auto stuckDevices = connectDevices(common, stuckFleet, unheard, stuck, false, true, qos, count - stuck);
  for (const auto& device : stuckDevices) device->stick();
  PacedPublisher publisher(common, 1, qos);
  fleet.add(publisher);
  fleet.connectAll(common.timeoutNs, "publisher");
  if (warmUp > 0) runPaced(common, publisher, heard, {pace.perSecond, warmUp}, 1, count - stuck, 1, qos);
  Measurement measurement(common.server);
  measurement.begin();
  std::vector<int64_t> lateNs = runPaced(common, publisher, heard, pace, 1, count - stuck, 1, qos);
  measurement.end();
  size_t closed = 0;
  for (const auto& device : stuckDevices) closed += device->wasClosed() ? 1 : 0;

  Report report("stuck");
  report.addCount("subscribers", count);
  report.addCount("stuck", stuck);
  report.addCount("qos", static_cast<size_t>(qos));
  report.add("rate", pace.perSecond);
  report.addCount("payloadBytes", common.payloadBytes);
  report.addCount("stuckClosedByServer", closed);
  measurement.addTo(report, heard.delivered);
  report.addLatency("latency", heard.latenciesNs);
  return pacedVerdict(report, heard, lateNs.size() * (count - stuck));
}

int runConnects(Options& options) {
  Common common(options);
  const size_t count = options.number("connections", 10'000);
  const bool isClean = options.flag("clean");
  options.refuseUnknown();
  Heard heard;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  Measurement measurement(common.server);
  measurement.begin();
  const auto devices = connectDevices(common, fleet, heard, count, isClean, false, 1);
  measurement.end();
  Report report("connects");
  report.addCount("connections", count);
  report.addCount("inFlight", common.connectsInFlight);
  measurement.addTo(report, count);
  report.add("connectsPerSecond", static_cast<double>(count) / measurement.seconds());
  report.print();
  return 0;
}

int runIdle(Options& options) {
  Common common(options);
  const size_t count = options.number("connections", 2'000);
  const bool isClean = options.flag("clean");
  options.refuseUnknown();
  Heard heard;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  std::vector<std::unique_ptr<Device>> devices;
  Orders orders;
  common.loop.watchInput(Orders::readable, &orders);
  size_t more = count;
  std::string line;
  do {
    auto added = connectDevices(common, fleet, heard, more, isClean, false, 1, devices.size());
    std::move(added.begin(), added.end(), std::back_inserter(devices));
    Report report("idle");
    report.addCount("connections", devices.size());
    if (common.server.isOn()) report.add("serverResidentBytes", common.server.residentBytes());
    report.print();
    if (!orders.next(common.loop, line)) break;
    if (line.compare(0, 5, "more ") != 0) fail("unknown order '" + line + "'; known are 'more N' and 'quit'");
    more = static_cast<size_t>(std::strtoull(line.c_str() + 5, nullptr, 10));
  } while (true);
  return 0;
}
