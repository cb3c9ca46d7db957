// A server that does as little as a server can: it answers at once, keeps nothing, and copies a publication to
// those who subscribed to exactly its topic. Acknowledgements tell it nothing: they stay in the kernel until there are
// some, or until nothing else happens. What the generator reaches against it is the generator's ceiling.
#include <unistd.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "modes.hpp"

namespace {

/** PUBACKs that one connection may have waiting, four bytes each. */
constexpr int kLateBytes = 16 * 4;
/** Silence after which those that are fewer are read, and whatever came behind them. */
constexpr int64_t kSilenceNs = 2'000'000;

class NullServer;

class NullConnection final : public Connection {
 public:
  NullConnection(Loop& loop, NullServer& server) : Connection(loop), server_(server) {}
  void onPacket(const mqtt::Packet& packet) override;
  void onClosed(int errorNumber) override;
  void deliver(const mqtt::Publish& publish);
  void reset();
  bool isReadLate() const { return isReadLate_; }

 private:
  void subscribe(const mqtt::Packet& packet);

  NullServer& server_;
  mqtt::Version version_ = mqtt::kV311;
  uint16_t nextId_ = 0;
  bool isReadLate_ = false;
  std::vector<std::string> topics_;
};

class NullServer final : public Acceptor {
 public:
  explicit NullServer(Loop& loop) : loop_(loop) {}

  Connection* accepted() override {
    if (!free_.empty()) {
      NullConnection* connection = free_.back();
      free_.pop_back();
      return connection;
    }
    connections_.push_back(std::make_unique<NullConnection>(loop_, *this));
    return connections_.back().get();
  }

  void release(NullConnection& connection) { free_.push_back(&connection); }

  void readLate() {
    if (late == 0) return;
    for (const auto& connection : connections_)
      if (connection->isReadLate()) connection->readNow();
  }

  std::unordered_map<std::string, std::vector<NullConnection*>> subscribers;
  std::string key;
  /** Connections of which something may wait. */
  size_t late = 0;

 private:
  Loop& loop_;
  std::vector<std::unique_ptr<NullConnection>> connections_;
  std::vector<NullConnection*> free_;
};

void NullConnection::onPacket(const mqtt::Packet& packet) {
  switch (packet.type()) {
    case mqtt::kConnect:
      if (packet.restBytes > 6 && packet.rest[6] == mqtt::kV5) version_ = mqtt::kV5;
      out.append(version_ == mqtt::kV5 ? std::string("\x20\3\0\0\0", 5) : std::string("\x20\2\0\0", 4));
      touch();
      return;
    case mqtt::kSubscribe:
      subscribe(packet);
      return;
    case mqtt::kPublish: {
      mqtt::Publish publish;
      if (!mqtt::parsePublish(packet, version_, publish)) fail("a client sent a malformed PUBLISH");
      server_.key.assign(publish.topic);
      const auto found = server_.subscribers.find(server_.key);
      if (found != server_.subscribers.end())
        for (NullConnection* subscriber : found->second) subscriber->deliver(publish);
      if (publish.qos == 0) return;
      mqtt::appendPuback(out, publish.id);
      touch();
      return;
    }
    case mqtt::kPingreq:
      out.append("\xd0\0", 2);
      touch();
      return;
    case mqtt::kDisconnect:
      close();
      reset();
      return;
    case mqtt::kPuback:
      if (isReadLate_) return;
      isReadLate_ = true;
      server_.late++;
      setReadBytesMin(kLateBytes);
      return;
    default:
      return;
  }
}

void NullConnection::subscribe(const mqtt::Packet& packet) {
  const size_t lengthAt = version_ == mqtt::kV5 ? 3 : 2;  // the generator sends no properties
  const size_t bytes = static_cast<size_t>(packet.rest[lengthAt]) << 8 | packet.rest[lengthAt + 1];
  if (lengthAt + 2 + bytes >= packet.restBytes) fail("a client sent a malformed SUBSCRIBE");
  topics_.emplace_back(reinterpret_cast<const char*>(packet.rest) + lengthAt + 2, bytes);
  server_.subscribers[topics_.back()].push_back(this);
  out.push_back(static_cast<char>(mqtt::kSuback << 4));
  out.push_back(version_ == mqtt::kV5 ? 4 : 3);
  out.append(reinterpret_cast<const char*>(packet.rest), 2);
  if (version_ == mqtt::kV5) out.push_back(0);
  out.push_back(static_cast<char>(packet.rest[packet.restBytes - 1] & 3));
  touch();
}

void NullConnection::deliver(const mqtt::Publish& publish) {
  const bool isV5 = version_ == mqtt::kV5;
  const size_t idBytes = publish.qos > 0 ? 2 : 0;
  out.push_back(static_cast<char>(mqtt::kPublish << 4 | publish.qos << 1));
  mqtt::appendVarInt(out, 2 + publish.topic.size() + idBytes + (isV5 ? 1 : 0) + publish.bodyBytes);
  mqtt::appendText(out, publish.topic);
  if (idBytes > 0) {
    if (++nextId_ == 0) nextId_ = 1;
    mqtt::appendU16(out, nextId_);
  }
  if (isV5) out.push_back(0);
  out.append(reinterpret_cast<const char*>(publish.body), publish.bodyBytes);
  touch();
}

void NullConnection::onClosed(int) { reset(); }

void NullConnection::reset() {
  for (const std::string& topic : topics_) {
    auto& list = server_.subscribers[topic];
    for (size_t index = 0; index < list.size(); index++) {
      if (list[index] != this) continue;
      list[index] = list.back();
      list.pop_back();
      break;
    }
    if (list.empty()) server_.subscribers.erase(topic);
  }
  topics_.clear();
  version_ = mqtt::kV311;
  nextId_ = 0;
  if (isReadLate_) server_.late--;
  isReadLate_ = false;
  server_.release(*this);
}

bool isInputOver = false;

void inputReadable(void*) {
  char bytes[256];
  if (read(STDIN_FILENO, bytes, sizeof bytes) <= 0) isInputOver = true;
}

}  // namespace

int runNull(Options& options) {
  const auto port = static_cast<uint16_t>(options.number("port", 0));
  options.refuseUnknown();
  Loop loop;
  NullServer server(loop);
  Report ready("null");
  ready.addCount("port", loop.listen(port, server));
  ready.print();
  loop.watchInput(inputReadable, nullptr);
  while (!isInputOver)
    if (!loop.turn(kSilenceNs)) server.readLate();
  Report over("null");
  over.add("cpuSeconds", ownCpuSeconds());
  over.print();
  return 0;
}
