// QoS 1 throughput: to connected subscribers (pairs), to absent ones (absent), what they find when they come back
// (drain), and one publication to many (fanout). Nothing counts before it was delivered and acknowledged.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <unordered_set>
#include <vector>

#include "modes.hpp"

namespace {

/** What publishers and subscribers of one run share. */
struct Traffic {
  bool isPublishing = false;
  /** Messages still to be begun in this phase. */
  uint64_t budget = 0;
  uint32_t round = 0;
  uint64_t sent = 0;
  uint64_t acknowledged = 0;
  uint64_t delivered = 0;
  uint64_t duplicates = 0;
  uint64_t outOfOrder = 0;
  uint64_t foreign = 0;
  uint64_t pongs = 0;
  bool isSampling = false;
  std::vector<int64_t> latenciesNs;

  bool isSettled(bool areDelivered) const {
    return acknowledged == sent && (!areDelivered || delivered == sent);
  }
};

class Publisher final : public Client {
 public:
  Publisher(Common& common, Traffic& traffic, size_t index, size_t window)
      : Client(common.loop, common.client(common.prefix + "-p" + std::to_string(index), false)),
        traffic_(traffic),
        index_(static_cast<uint32_t>(index)),
        window_(window),
        isInFlight_(65'536, false) {}

  void addTarget(const mqtt::PublishTemplate* packet) { targets_.push_back({packet, 0}); }

  /** Sends what the window lets through. */
  void fill() {
    while (traffic_.isPublishing && inFlight_ < window_ && traffic_.budget > 0) {
      do {
        nextId_ = nextId_ >= 65'534 ? 1 : static_cast<uint16_t>(nextId_ + 1);
      } while (isInFlight_[nextId_]);
      isInFlight_[nextId_] = true;
      inFlight_++;
      traffic_.budget--;
      traffic_.sent++;
      Target& target = targets_[next_];
      if (++next_ == targets_.size()) next_ = 0;
      target.packet->append(out, nextId_, {target.sequence++, loop_.turnNs(), index_, traffic_.round});
    }
    touch();
  }

 private:
  struct Target {
    const mqtt::PublishTemplate* packet;
    uint64_t sequence;
  };

  void onPuback(uint16_t id) override {
    if (!isInFlight_[id]) fail("a message was acknowledged that was not sent");
    isInFlight_[id] = false;
    inFlight_--;
    traffic_.acknowledged++;
    fill();
  }

  Traffic& traffic_;
  const uint32_t index_;
  const size_t window_;
  size_t inFlight_ = 0;
  uint16_t nextId_ = 0;
  std::vector<bool> isInFlight_;
  std::vector<Target> targets_;
  size_t next_ = 0;
};

class Subscriber final : public Client {
 public:
  Subscriber(Loop& loop, ClientOptions options, Traffic& traffic, size_t publishers, size_t publisherStep)
      : Client(loop, std::move(options)), traffic_(traffic), step_(publisherStep), streams_(publishers) {}

  /** Answered when the server has read all acknowledgements before it. */
  void ping() {
    mqtt::appendPingreq(out);
    touch();
  }

 private:
  struct Stream {
    uint64_t expected = 0;
    /** Missing below `expected`: lost, or still to come out of order. */
    std::unordered_set<uint64_t> overtaken;
  };

  void onPublish(const mqtt::Publish& publish) override {
    if (publish.qos == 1) {
      mqtt::appendPuback(out, publish.id);
      touch();
    }
    mqtt::Stamp stamp;
    if (!publish.stamp(stamp) || stamp.publisher / step_ >= streams_.size()) {
      traffic_.foreign++;
      return;
    }
    Stream& stream = streams_[stamp.publisher / step_];
    if (stamp.sequence < stream.expected) {
      // One that was overtaken and comes late, or one that came before.
      if (stream.overtaken.erase(stamp.sequence) == 0) {
        traffic_.duplicates++;
        return;
      }
    } else {
      if (stamp.sequence > stream.expected) traffic_.outOfOrder++;
      for (; stream.expected < stamp.sequence; stream.expected++) stream.overtaken.insert(stream.expected);
      stream.expected++;
    }
    traffic_.delivered++;
    if (traffic_.isSampling) traffic_.latenciesNs.push_back(loop_.turnNs() - stamp.sentNs);
  }

  void onPingresp() override { traffic_.pongs++; }

  Traffic& traffic_;
  /** Publisher `p` sends to subscriber `p mod step`, so `p / step` numbers those of one subscriber. */
  const size_t step_;
  /** One for each of its publishers. */
  std::vector<Stream> streams_;
};

/** Sends one message when told, and counts the acknowledgements. */
class SinglePublisher final : public Client {
 public:
  SinglePublisher(Common& common, const mqtt::PublishTemplate& packet)
      : Client(common.loop, common.client(common.prefix + "-p", false)), packet_(packet) {}

  void send(uint64_t sequence, int64_t nowNs) {
    nextId_ = nextId_ >= 65'534 ? 1 : static_cast<uint16_t>(nextId_ + 1);
    packet_.append(out, nextId_, {sequence, nowNs, 0, 1});
    touch();
  }

  uint64_t acknowledged = 0;

 private:
  void onPuback(uint16_t) override { acknowledged++; }

  const mqtt::PublishTemplate& packet_;
  uint16_t nextId_ = 0;
};

/** Publishers, each with its share of the topics: topic `t` belongs to publisher `t mod P`, or if there are more
 *  publishers than topics, publisher `p` has topic `p mod T`. So each topic has its order. */
struct Publishers {
  Publishers(Common& common, Traffic& traffic, size_t count, size_t topics, size_t window) {
    for (size_t topic = 0; topic < topics; topic++)
      templates.push_back(
          std::make_unique<mqtt::PublishTemplate>(common.version, common.topicOf(topic), 1, common.payloadBytes));
    for (size_t index = 0; index < count; index++) {
      clients.push_back(std::make_unique<Publisher>(common, traffic, index, window));
      for (size_t topic = index % topics; topic < topics; topic += count)
        clients.back()->addTarget(templates[topic].get());
    }
  }

  std::vector<std::unique_ptr<mqtt::PublishTemplate>> templates;
  std::vector<std::unique_ptr<Publisher>> clients;
};

/** How much is published in a phase: for a time, or a number of messages. */
struct Amount {
  double seconds;
  uint64_t messages;
};

/**
 * Publishes and waits until all is acknowledged and, if there are subscribers, delivered. Returns the moment of the
 * last progress: the caller tells what is still missing then.
 */
int64_t runPhase(Common& common, Traffic& traffic, Publishers& publishers, const Amount& amount, bool areDelivered) {
  traffic.round++;
  traffic.isPublishing = true;
  traffic.budget = amount.messages;
  const uint64_t sentBefore = traffic.sent;
  const int64_t beginNs = clockNs();
  const int64_t endNs = beginNs + static_cast<int64_t>(amount.seconds * 1e9);
  for (const auto& publisher : publishers.clients) publisher->fill();
  Progress progress;
  uint64_t lastDone = 0;
  int64_t lastProgressNs = beginNs;
  while (!traffic.isSettled(areDelivered) || (traffic.isPublishing && traffic.budget > 0)) {
    common.loop.turn(10'000'000);
    const int64_t now = common.loop.turnNs();
    if (traffic.isPublishing && now >= endNs) traffic.isPublishing = false;
    const uint64_t done = traffic.acknowledged + traffic.delivered;
    if (done != lastDone) lastProgressNs = now;
    lastDone = done;
    progress.tell("%llu sent, %llu acknowledged, %llu delivered", static_cast<unsigned long long>(traffic.sent),
                  static_cast<unsigned long long>(traffic.acknowledged),
                  static_cast<unsigned long long>(traffic.delivered));
    if (now - lastProgressNs > common.timeoutNs) break;
  }
  traffic.isPublishing = false;
  if (traffic.sent == sentBefore) fail("nothing was sent");
  return lastProgressNs;
}

Amount amountOf(Options& options) {
  const size_t messages = options.number("messages", 0);
  const double seconds = options.real("seconds", messages > 0 ? 3600 : 5);
  return {seconds, messages > 0 ? messages : UINT64_MAX};
}

/** 0 when all is as it must be. */
int verdict(Report& report, const Traffic& traffic, bool areDelivered) {
  const uint64_t lost = areDelivered && traffic.sent > traffic.delivered ? traffic.sent - traffic.delivered : 0;
  report.add("lost", lost);
  report.add("unacknowledged", traffic.sent - traffic.acknowledged);
  report.add("duplicates", traffic.duplicates);
  report.add("outOfOrder", traffic.outOfOrder);
  report.add("foreign", traffic.foreign);
  report.print();
  return lost == 0 && traffic.acknowledged == traffic.sent && traffic.outOfOrder == 0 && traffic.foreign == 0 ? 0 : 2;
}

}  // namespace

int runPairs(Options& options) {
  Common common(options);
  const size_t publisherCount = options.number("publishers", 4);
  const size_t subscriberCount = options.number("subscribers", 4);
  const size_t window = options.number("window", 100);
  const double warmUp = options.real("warm-up", 1);
  const Amount amount = amountOf(options);
  options.refuseUnknown();

  Traffic traffic;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  const size_t sharing = publisherCount <= subscriberCount ? 1 : (publisherCount - 1) / subscriberCount + 1;
  const size_t step = publisherCount <= subscriberCount ? publisherCount : subscriberCount;
  for (size_t index = 0; index < subscriberCount; index++) {
    subscribers.push_back(std::make_unique<Subscriber>(
        common.loop, common.client(common.deviceId(index), false, common.topicOf(index)), traffic, sharing, step));
    fleet.add(*subscribers.back());
  }
  fleet.connectAll(common.timeoutNs, "subscribers");
  Publishers publishers(common, traffic, publisherCount, subscriberCount, window);
  for (const auto& publisher : publishers.clients) fleet.add(*publisher);
  fleet.connectAll(common.timeoutNs, "publishers");

  if (warmUp > 0) runPhase(common, traffic, publishers, {warmUp, UINT64_MAX}, true);
  const uint64_t before = traffic.delivered;
  traffic.latenciesNs.reserve(8'000'000);
  traffic.isSampling = true;
  Measurement measurement(common.server);
  measurement.begin();
  const int64_t lastNs = runPhase(common, traffic, publishers, amount, true);
  if (traffic.isSettled(true)) {
    for (const auto& subscriber : subscribers) subscriber->ping();
    const int64_t deadlineNs = clockNs() + common.timeoutNs;
    while (traffic.pongs < subscribers.size() && common.loop.turnNs() < deadlineNs) common.loop.turn(10'000'000);
    if (traffic.pongs < subscribers.size()) fail("not all subscribers got their PINGRESP");
    measurement.end();
  } else {
    measurement.endAt(lastNs);
  }

  Report report("pairs");
  report.addCount("publishers", publisherCount);
  report.addCount("subscribers", subscriberCount);
  report.addCount("window", window);
  report.addCount("payloadBytes", common.payloadBytes);
  measurement.addTo(report, traffic.delivered - before);
  report.addLatency("latency", traffic.latenciesNs);
  return verdict(report, traffic, true);
}

int runAbsent(Options& options) {
  Common common(options);
  const size_t devices = options.number("devices", 10'000);
  const size_t publisherCount = options.number("publishers", 4);
  const size_t window = options.number("window", 100);
  const double warmUp = options.real("warm-up", 1);
  const Amount amount = amountOf(options);
  options.refuseUnknown();

  Traffic traffic;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  {
    std::vector<std::unique_ptr<Subscriber>> absent;
    for (size_t index = 0; index < devices; index++) {
      absent.push_back(std::make_unique<Subscriber>(
          common.loop, common.client(common.deviceId(index), false, common.topicOf(index)), traffic, 1, 1));
      fleet.add(*absent.back());
    }
    fleet.connectAll(common.timeoutNs, "devices");
    fleet.disconnectAll(absent, common.timeoutNs);
  }
  Publishers publishers(common, traffic, publisherCount, devices, window);
  for (const auto& publisher : publishers.clients) fleet.add(*publisher);
  fleet.connectAll(common.timeoutNs, "publishers");

  if (warmUp > 0) runPhase(common, traffic, publishers, {warmUp, UINT64_MAX}, false);
  const uint64_t before = traffic.acknowledged;
  Measurement measurement(common.server);
  measurement.begin();
  measurement.endAt(runPhase(common, traffic, publishers, amount, false));

  Report report("absent");
  report.addCount("devices", devices);
  report.addCount("publishers", publisherCount);
  report.addCount("window", window);
  report.addCount("payloadBytes", common.payloadBytes);
  measurement.addTo(report, traffic.acknowledged - before);
  report.add("sentInAll", traffic.sent);
  return verdict(report, traffic, false);
}

int runDrain(Options& options) {
  Common common(options);
  const size_t devices = options.number("devices", 10'000);
  const size_t publisherCount = options.number("publishers", 4);
  const size_t expected = options.number("expect", 0);
  options.refuseUnknown();
  if (expected == 0) fail("--expect N is needed: sentInAll of the run that filled the inboxes");

  Traffic traffic;
  traffic.sent = expected;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  for (size_t index = 0; index < devices; index++) {
    ClientOptions client = common.client(common.deviceId(index), false);
    subscribers.push_back(std::make_unique<Subscriber>(common.loop, client, traffic, 1, publisherCount));
    fleet.add(*subscribers.back());
  }
  Measurement measurement(common.server);
  measurement.begin();
  fleet.connectAll(common.timeoutNs, "devices");
  Progress progress;
  uint64_t last = 0;
  int64_t lastNs = clockNs();
  while (traffic.delivered < expected && common.loop.turnNs() - lastNs < common.timeoutNs) {
    common.loop.turn(10'000'000);
    if (traffic.delivered != last) lastNs = common.loop.turnNs();
    last = traffic.delivered;
    progress.tell("%llu of %zu delivered", static_cast<unsigned long long>(traffic.delivered), expected);
  }
  measurement.end();
  traffic.acknowledged = traffic.sent;
  size_t present = 0;
  for (const auto& subscriber : subscribers) present += subscriber->isSessionPresent() ? 1 : 0;
  Report report("drain");
  report.addCount("devices", devices);
  report.addCount("sessionsPresent", present);
  measurement.addTo(report, traffic.delivered);
  return verdict(report, traffic, true);
}

int runFanout(Options& options) {
  Common common(options);
  const size_t subscriberCount = options.number("subscribers", 5'000);
  const size_t publications = options.number("publications", 20);
  const int qos = static_cast<int>(options.number("qos", 1));
  options.refuseUnknown();
  if (qos > 1) fail("--qos is 0 or 1");

  Traffic traffic;
  Fleet fleet(common.loop, common.address, common.connectsInFlight);
  std::vector<std::unique_ptr<Subscriber>> subscribers;
  for (size_t index = 0; index < subscriberCount; index++) {
    subscribers.push_back(std::make_unique<Subscriber>(
        common.loop, common.client(common.deviceId(index), false, common.topicOf(0), qos), traffic, 1, 1));
    fleet.add(*subscribers.back());
  }
  fleet.connectAll(common.timeoutNs, "subscribers");
  const mqtt::PublishTemplate packet(common.version, common.topicOf(0), qos, common.payloadBytes);
  SinglePublisher publisher(common, packet);
  fleet.add(publisher);
  fleet.connectAll(common.timeoutNs, "publisher");

  // One publication at a time: the next leaves when the last subscriber has it. The first ones warm up.
  const size_t warmUps = std::max<size_t>(1, publications / 5);
  std::vector<int64_t> lastNs;
  Measurement measurement(common.server);
  int64_t busyNs = 0;
  for (size_t index = 0; index < warmUps + publications; index++) {
    if (index == warmUps) {
      traffic.isSampling = true;
      measurement.begin();
    }
    const uint64_t goal = (index + 1) * subscriberCount;
    const int64_t beginNs = clockNs();
    publisher.send(index, beginNs);
    while (traffic.delivered < goal || (qos == 1 && publisher.acknowledged <= index)) {
      common.loop.turn(10'000'000);
      if (common.loop.turnNs() - beginNs > common.timeoutNs) fail("a publication did not reach all subscribers");
    }
    const int64_t tookNs = clockNs() - beginNs;
    if (index < warmUps) continue;
    busyNs += tookNs;
    lastNs.push_back(tookNs);
  }
  measurement.end();
  Report report("fanout");
  report.addCount("subscribers", subscriberCount);
  report.addCount("qos", static_cast<size_t>(qos));
  report.addCount("publications", publications);
  measurement.addTo(report, publications * subscriberCount);
  report.add("deliveriesPerSecond",
             static_cast<double>(publications * subscriberCount) / (static_cast<double>(busyNs) / 1e9));
  report.addLatency("last", lastNs);
  report.addLatency("each", traffic.latenciesNs);
  traffic.sent = traffic.acknowledged = traffic.delivered;
  return verdict(report, traffic, true);
}
