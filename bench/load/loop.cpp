#include "loop.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr size_t kReadBytes = 256 * 1024;
/** The longest packet that may be left over from a read. */
constexpr size_t kPartialBytesMax = 1024 * 1024;
constexpr size_t kEventsMax = 1024;
/** The same on every architecture. */
constexpr long kEpollPwait2 = 441;
/** A buffer that grew beyond this is given back when it is empty. */
constexpr size_t kKeptBytesMax = 64 * 1024;

void setOption(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) fail(std::string("setsockopt: ") + strerror(errno));
}

/** Marks in epoll's user data what is not a connection. */
char listenerTag;
char inputTag;

}  // namespace

int64_t clockNs() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

void fail(const std::string& message) {
  std::fprintf(stderr, "wakeline-load: %s\n", message.c_str());
  std::exit(1);
}

Connection::~Connection() {
  close();
  if (isDirty_) std::replace(loop_.dirty_.begin(), loop_.dirty_.end(), this, static_cast<Connection*>(nullptr));
}

void Connection::touch() {
  if (isDirty_ || fd_ < 0) return;
  isDirty_ = true;
  loop_.dirty_.push_back(this);
}

void Connection::close() {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  out.clear();
  partial_.clear();
  sent_ = 0;
  armed_ = 0;
  isBlocked_ = false;
}

void Connection::setReading(bool isReading) {
  isReading_ = isReading;
  if (fd_ >= 0) arm();
}

void Connection::setReadBytesMin(int bytes) { setOption(fd_, SOL_SOCKET, SO_RCVLOWAT, bytes); }

void Connection::readNow() {
  if (fd_ >= 0) loop_.readable(*this);
}

void Connection::arm() {
  const uint32_t wanted = (isReading_ ? EPOLLIN : 0u) | (isBlocked_ ? EPOLLOUT : 0u);
  if (wanted == armed_) return;
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = this;
  if (epoll_ctl(loop_.epoll_, EPOLL_CTL_MOD, fd_, &event) != 0) fail("epoll_ctl");
  armed_ = wanted;
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(kPartialBytesMax + kReadBytes), events_(kEventsMax) {
  if (epoll_ < 0) fail("epoll_create1");
}

Loop::~Loop() {
  if (listener_ >= 0) ::close(listener_);
  ::close(epoll_);
}

void Loop::connect(Connection& connection, const Address& address, size_t number) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(std::string("socket: ") + strerror(errno) + " (ulimit -n?)");
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (address.receiveBufferBytes > 0) setOption(fd, SOL_SOCKET, SO_RCVBUF, address.receiveBufferBytes);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(address.port);
  if (inet_pton(AF_INET, address.host.c_str(), &peer.sin_addr) != 1) fail("not an IPv4 address: " + address.host);
  if (address.sources > 0 && (ntohl(peer.sin_addr.s_addr) >> 24) == 127) {
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(0x7f000002u + static_cast<uint32_t>(number % address.sources));
    setOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (bind(fd, reinterpret_cast<sockaddr*>(&source), sizeof source) != 0)
      fail(std::string("bind: ") + strerror(errno));
  }
  if (::connect(fd, reinterpret_cast<sockaddr*>(&peer), sizeof peer) != 0 && errno != EINPROGRESS)
    fail(std::string("connect: ") + strerror(errno));
  add(connection, fd);
  // On loopback the connection is there by now. Elsewhere the first write is blocked until it is.
  connection.onConnected();
}

void Loop::add(Connection& connection, int fd) {
  connection.fd_ = fd;
  connection.armed_ = EPOLLIN;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &connection;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

uint16_t Loop::listen(uint16_t port, Acceptor& acceptor) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setOption(listener_, SOL_SOCKET, SO_REUSEADDR, 1);
  setOption(listener_, IPPROTO_TCP, TCP_NODELAY, 1);  // those it accepts have it from here
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_, 4096) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    fail(std::string("listen: ") + strerror(errno));
  acceptor_ = &acceptor;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &listenerTag;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) fail("epoll_ctl");
  return ntohs(address.sin_port);
}

void Loop::watchInput(void (*handler)(void*), void* context) {
  inputReadable_ = handler;
  inputContext_ = context;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &inputTag;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
    fail("standard input must be a pipe or a terminal");
}

bool Loop::turn(int64_t waitNs) {
  flushDirty();
  timespec wait{waitNs / 1'000'000'000, waitNs % 1'000'000'000};
  // Nanoseconds, unlike epoll_wait; called by its number because the C library has it only since 2.35.
  const long count = syscall(kEpollPwait2, epoll_, events_.data(), static_cast<int>(kEventsMax),
                             waitNs < 0 ? nullptr : &wait, nullptr, 0);
  turnNs_ = clockNs();
  if (count < 0 && errno != EINTR) fail(std::string("epoll_pwait2: ") + strerror(errno) + " (Linux 5.11 is needed)");
  for (long index = 0; index < count; index++) {
    const epoll_event& event = events_[static_cast<size_t>(index)];
    if (event.data.ptr == &listenerTag) {
      acceptAll();
      continue;
    }
    if (event.data.ptr == &inputTag) {
      inputReadable_(inputContext_);
      continue;
    }
    Connection& connection = *static_cast<Connection*>(event.data.ptr);
    if (!connection.isOpen()) continue;  // closed earlier in this turn
    if ((event.events & EPOLLOUT) != 0) {
      connection.isBlocked_ = false;
      connection.touch();
    }
    if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
      if (connection.isReading_) {
        readable(connection);
      } else if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) {
        lost(connection, 0);
      }
    }
  }
  flushDirty();
  return count > 0;
}

void Loop::acceptAll() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
      fail(std::string("accept: ") + strerror(errno));
    }
    add(*acceptor_->accepted(), fd);
  }
}

void Loop::readable(Connection& connection) {
  const size_t before = connection.partial_.size();
  if (before > 0) std::memcpy(buffer_.data(), connection.partial_.data(), before);
  const ssize_t got = recv(connection.fd_, buffer_.data() + before, kReadBytes, 0);
  if (got <= 0) {
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    lost(connection, got == 0 ? 0 : errno);
    return;
  }
  const size_t bytes = before + static_cast<size_t>(got);
  size_t at = 0;
  while (connection.isOpen()) {
    mqtt::Packet packet;
    size_t total = 0;
    const mqtt::Scan scan = mqtt::scan(buffer_.data() + at, bytes - at, packet, total);
    if (scan == mqtt::Scan::kMalformed) fail("the server sent a malformed packet");
    if (scan == mqtt::Scan::kPartial) break;
    connection.onPacket(packet);
    at += total;
  }
  if (!connection.isOpen()) return;
  if (bytes - at > kPartialBytesMax) fail("the server sent a packet of more than 1 MiB");
  if (bytes > at || before > 0)
    connection.partial_.assign(reinterpret_cast<const char*>(buffer_.data()) + at, bytes - at);
}

void Loop::flushDirty() {
  // Handlers of a lost connection may touch others: the list may grow while it is walked.
  for (size_t index = 0; index < dirty_.size(); index++) {
    if (dirty_[index] == nullptr) continue;  // destroyed since
    Connection& connection = *dirty_[index];
    connection.isDirty_ = false;
    if (connection.isOpen() && !connection.isBlocked_) flush(connection);
  }
  dirty_.clear();
}

void Loop::flush(Connection& connection) {
  std::string& out = connection.out;
  while (connection.sent_ < out.size()) {
    const ssize_t wrote =
        send(connection.fd_, out.data() + connection.sent_, out.size() - connection.sent_, MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        connection.isBlocked_ = true;
        connection.arm();
        return;
      }
      lost(connection, errno);
      return;
    }
    connection.sent_ += static_cast<size_t>(wrote);
  }
  connection.sent_ = 0;
  if (out.capacity() > kKeptBytesMax) std::string().swap(out);
  out.clear();
  connection.arm();
}

void Loop::lost(Connection& connection, int errorNumber) {
  connection.close();
  connection.onClosed(errorNumber);
}
