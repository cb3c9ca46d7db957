// MQTT 3.1.1 and 5.0 as far as a load generator needs it: packets it sends are appended to a string, packets it
// gets are looked at in place. No socket, no clock. It trusts its peer no further than its bounds.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace mqtt {

enum Type : uint8_t {
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kSubscribe = 8,
  kSuback = 9,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
};

/** Protocol level in CONNECT: 4 is MQTT 3.1.1, 5 is MQTT 5.0. */
enum Version : uint8_t { kV311 = 4, kV5 = 5 };

inline void appendU16(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

inline void appendText(std::string& out, std::string_view text) {
  appendU16(out, static_cast<unsigned>(text.size()));
  out.append(text);
}

inline void appendVarInt(std::string& out, size_t value) {
  do {
    uint8_t byte = value & 0x7f;
    value >>= 7;
    if (value != 0) byte |= 0x80;
    out.push_back(static_cast<char>(byte));
  } while (value != 0);
}

inline void appendPacket(std::string& out, uint8_t first, const std::string& rest) {
  out.push_back(static_cast<char>(first));
  appendVarInt(out, rest.size());
  out.append(rest);
}

struct ConnectOptions {
  std::string clientId;
  bool isClean = false;
  uint16_t keepAliveSeconds = 0;
  /** MQTT 5 only; 0 leaves the property out. */
  uint16_t receiveMaximum = 0;
};

inline void appendConnect(std::string& out, Version version, const ConnectOptions& options) {
  std::string rest;
  appendText(rest, "MQTT");
  rest.push_back(static_cast<char>(version));
  rest.push_back(options.isClean ? 2 : 0);
  appendU16(rest, options.keepAliveSeconds);
  if (version == kV5) {
    std::string properties;
    if (!options.isClean) properties.append("\x11\xff\xff\xff\xff", 5);  // session expiry: never
    if (options.receiveMaximum != 0) {
      properties.push_back(0x21);
      appendU16(properties, options.receiveMaximum);
    }
    appendVarInt(rest, properties.size());
    rest.append(properties);
  }
  appendText(rest, options.clientId);
  appendPacket(out, kConnect << 4, rest);
}

inline void appendSubscribe(std::string& out, Version version, uint16_t id, std::string_view filter, int qos) {
  std::string rest;
  appendU16(rest, id);
  if (version == kV5) rest.push_back(0);
  appendText(rest, filter);
  rest.push_back(static_cast<char>(qos));
  appendPacket(out, kSubscribe << 4 | 2, rest);
}

inline void appendPuback(std::string& out, uint16_t id) {
  const char packet[4] = {static_cast<char>(kPuback << 4), 2, static_cast<char>(id >> 8), static_cast<char>(id)};
  out.append(packet, 4);
}

inline void appendPingreq(std::string& out) { out.append("\xc0\0", 2); }

inline void appendDisconnect(std::string& out) { out.append("\xe0\0", 2); }

/** What the body of every message of the generator begins with; the rest is filler. */
struct Stamp {
  uint64_t sequence;  // within publisher and topic, from 0
  int64_t sentNs;     // monotonic clock; of the schedule, where there is one
  uint32_t publisher;
  uint32_t round;     // messages of another phase of the run are told apart by it
};

/** A PUBLISH encoded once for its topic; sending is one copy and two patches. */
class PublishTemplate {
 public:
  PublishTemplate(Version version, std::string_view topic, int qos, size_t bodyBytes) {
    std::string rest;
    appendText(rest, topic);
    const size_t idInRest = rest.size();
    if (qos > 0) appendU16(rest, 0);
    if (version == kV5) rest.push_back(0);
    const size_t bodyInRest = rest.size();
    // Filler that does not compress to nothing, the same for every server.
    for (size_t index = 0; index < bodyBytes; index++) rest.push_back(static_cast<char>('!' + (index * 37) % 90));
    appendPacket(packet_, static_cast<uint8_t>(kPublish << 4 | qos << 1), rest);
    const size_t head = packet_.size() - rest.size();
    idAt_ = qos > 0 ? head + idInRest : 0;
    bodyAt_ = head + bodyInRest;
  }

  void append(std::string& out, uint16_t id, const Stamp& stamp) const {
    const size_t at = out.size();
    out.append(packet_);
    char* packet = &out[at];
    if (idAt_ != 0) {
      packet[idAt_] = static_cast<char>(id >> 8);
      packet[idAt_ + 1] = static_cast<char>(id);
    }
    std::memcpy(packet + bodyAt_, &stamp, sizeof stamp);
  }

 private:
  std::string packet_;
  size_t idAt_ = 0;
  size_t bodyAt_ = 0;
};

/** A whole packet in the receive buffer. */
struct Packet {
  uint8_t first;
  const uint8_t* rest;
  size_t restBytes;
  uint8_t type() const { return first >> 4; }
};

enum class Scan { kComplete, kPartial, kMalformed };

/** Finds the packet at `data`; `total` becomes its length with its header. */
inline Scan scan(const uint8_t* data, size_t bytes, Packet& packet, size_t& total) {
  if (bytes < 2) return Scan::kPartial;
  size_t length = 0;
  size_t at = 1;
  for (int shift = 0;; shift += 7) {
    if (shift > 21) return Scan::kMalformed;
    if (at >= bytes) return Scan::kPartial;
    const uint8_t byte = data[at++];
    length |= static_cast<size_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  total = at + length;
  if (total > bytes) return Scan::kPartial;
  packet = {data[0], data + at, length};
  return Scan::kComplete;
}

struct Publish {
  std::string_view topic;
  uint8_t qos;
  uint16_t id;
  const uint8_t* body;
  size_t bodyBytes;

  /** False: the body is too short to be one of ours. */
  bool stamp(Stamp& stamp) const {
    if (bodyBytes < sizeof stamp) return false;
    std::memcpy(&stamp, body, sizeof stamp);
    return true;
  }
};

/** False when the packet is malformed. */
inline bool parsePublish(const Packet& packet, Version version, Publish& publish) {
  const uint8_t* data = packet.rest;
  const size_t bytes = packet.restBytes;
  if (bytes < 2) return false;
  const size_t topicBytes = static_cast<size_t>(data[0]) << 8 | data[1];
  size_t at = 2 + topicBytes;
  if (at > bytes) return false;
  publish.topic = {reinterpret_cast<const char*>(data) + 2, topicBytes};
  publish.qos = packet.first >> 1 & 3;
  publish.id = 0;
  if (publish.qos > 0) {
    if (at + 2 > bytes) return false;
    publish.id = static_cast<uint16_t>(data[at] << 8 | data[at + 1]);
    at += 2;
  }
  if (version == kV5) {
    size_t length = 0;
    for (int shift = 0;; shift += 7) {
      if (shift > 21 || at >= bytes) return false;
      const uint8_t byte = data[at++];
      length |= static_cast<size_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) break;
    }
    at += length;
    if (at > bytes) return false;
  }
  publish.body = data + at;
  publish.bodyBytes = bytes - at;
  return true;
}

}  // namespace mqtt
