#include "report.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace {

std::string readFile(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) fail("cannot read " + path + ": the server has ended, or --server-pid is wrong");
  std::string text(16384, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

double parseNumber(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0)) fail("--" + name + " wants a number, not '" + text + "'");
  return value;
}

}  // namespace

Options::Options(int count, char** arguments) {
  for (int index = 0; index < count; index++) {
    const std::string argument = arguments[index];
    if (argument.size() < 3 || argument.compare(0, 2, "--") != 0) fail("unexpected argument '" + argument + "'");
    const bool hasValue = index + 1 < count && std::string(arguments[index + 1]).compare(0, 2, "--") != 0;
    values_[argument.substr(2)] = hasValue ? arguments[++index] : "";
  }
}

const std::string* Options::find(const char* name) {
  used_[name] = true;
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

size_t Options::number(const char* name, size_t fallback) {
  const std::string* text = find(name);
  return text == nullptr ? fallback : static_cast<size_t>(parseNumber(name, *text));
}

double Options::real(const char* name, double fallback) {
  const std::string* text = find(name);
  return text == nullptr ? fallback : parseNumber(name, *text);
}

std::string Options::text(const char* name, const std::string& fallback) {
  const std::string* text = find(name);
  return text == nullptr ? fallback : *text;
}

bool Options::flag(const char* name) {
  const std::string* text = find(name);
  if (text != nullptr && !text->empty()) fail(std::string("--") + name + " takes no value");
  return text != nullptr;
}

void Options::refuseUnknown() const {
  for (const auto& [name, value] : values_)
    if (used_.count(name) == 0) fail("unknown option --" + name + " for this mode; see --help");
}

void Progress::tell(const char* format, ...) {
  const int64_t now = clockNs();
  if (now - lastNs_ < 1'000'000'000) return;
  lastNs_ = now;
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
}

double ownCpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

ServerMeter::ServerMeter(const std::string& pids) {
  size_t at = 0;
  while (at < pids.size()) {
    const size_t comma = std::min(pids.find(',', at), pids.size());
    pids_.push_back(pids.substr(at, comma - at));
    at = comma + 1;
  }
}

double ServerMeter::cpuSeconds() const {
  double ticks = 0;
  for (const std::string& pid : pids_) {
    const std::string stat = readFile("/proc/" + pid + "/stat");
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th field after it.
    size_t at = stat.rfind(')');
    for (int field = 0; field < 12 && at != std::string::npos; field++) at = stat.find(' ', at + 1);
    if (at == std::string::npos) fail("cannot read the CPU time of process " + pid);
    char* next = nullptr;
    ticks += static_cast<double>(std::strtoull(stat.c_str() + at, &next, 10));
    ticks += static_cast<double>(std::strtoull(next, nullptr, 10));
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

uint64_t ServerMeter::residentBytes() const {
  uint64_t bytes = 0;
  for (const std::string& pid : pids_) {
    const std::string status = readFile("/proc/" + pid + "/status");
    const size_t at = status.find("VmRSS:");
    if (at != std::string::npos) bytes += std::strtoull(status.c_str() + at + 6, nullptr, 10) * 1024;
  }
  return bytes;
}

void Report::key(const char* name) {
  text_ += text_.empty() ? "\"" : ",\"";
  text_ += name;
  text_ += "\":";
}

void Report::add(const char* name, const char* value) {
  key(name);
  text_ += '"';
  text_ += value;
  text_ += '"';
}

void Report::add(const char* name, double value) {
  char number[32];
  std::snprintf(number, sizeof number, "%.6g", std::isfinite(value) ? value : 0.0);
  key(name);
  text_ += number;
}

void Report::add(const char* name, uint64_t value) {
  key(name);
  text_ += std::to_string(value);
}

void Report::addLatency(const char* name, std::vector<int64_t>& samplesNs) {
  if (samplesNs.empty()) return;
  std::sort(samplesNs.begin(), samplesNs.end());
  const auto at = [&](double share) {
    const size_t index = static_cast<size_t>(share * static_cast<double>(samplesNs.size()));
    return static_cast<double>(samplesNs[std::min(index, samplesNs.size() - 1)]) / 1e6;
  };
  const std::string prefix = name;
  add((prefix + "MsP50").c_str(), at(0.5));
  add((prefix + "MsP99").c_str(), at(0.99));
  add((prefix + "MsP999").c_str(), at(0.999));
  add((prefix + "MsMax").c_str(), static_cast<double>(samplesNs.back()) / 1e6);
}

void Report::print() const {
  std::printf("{%s}\n", text_.c_str());
  std::fflush(stdout);
}

void Measurement::begin() {
  ownCpu_ = ownCpuSeconds();
  serverCpu_ = server_.isOn() ? server_.cpuSeconds() : 0;
  beginNs_ = clockNs();
}

void Measurement::endAt(int64_t nowNs) {
  endNs_ = nowNs;
  ownCpu_ = ownCpuSeconds() - ownCpu_;
  serverCpu_ = server_.isOn() ? server_.cpuSeconds() - serverCpu_ : 0;
}

void Measurement::addTo(Report& report, uint64_t messages) const {
  const double count = static_cast<double>(messages);
  report.add("seconds", seconds());
  report.add("messages", messages);
  report.add("messagesPerSecond", std::round(count / seconds()));
  report.add("generatorCpuSeconds", ownCpu_);
  report.add("generatorCpuUsPerMessage", ownCpu_ * 1e6 / count);
  if (!server_.isOn()) return;
  report.add("serverCpuSeconds", serverCpu_);
  report.add("serverCpuSecondsPerMillion", serverCpu_ * 1e6 / count);
  report.add("serverResidentBytes", server_.residentBytes());
}
