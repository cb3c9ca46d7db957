/** What the commands of this folder's parent do alike in a run: rounds of cases and servers, and what is written down with the figures. */
import { cpus, release, totalmem } from 'node:os';
import { measureDisk } from './disk.mjs';
import { formatFigure, median, summarize } from './report.mjs';

/** The machine that a figure is of. */
export function machine() {
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? '',
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

export async function versionsOf(names, all) {
  const versions = {};
  for (const name of names) versions[name] = await all[name].version();
  return versions;
}

/** Medians of several measurements of the disk. */
export function diskOf(disks) {
  return Object.fromEntries(
    Object.keys(disks[0]).map((figure) => [figure, median(disks.map((one) => one[figure]))]),
  );
}

/** Figures of rounds by case and server become one summary each. */
export function summariesOf(all, names) {
  const results = {};
  for (const [caseName, byServer] of Object.entries(all)) {
    results[caseName] = {};
    for (const name of names)
      if (byServer[name] !== undefined) results[caseName][name] = summarize(byServer[name]);
  }
  return results;
}

/** A number of rounds as an option has it. */
export function roundsOf(text) {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds wants a number from 1');
  return rounds;
}

/** Every case on every server in turn; `runOne(item, name)` gives the figures of one, or `failed` with the reason. */
export async function runRounds({ items, names, servers, rounds, base, log, runOne }) {
  const disks = [measureDisk(base)];
  const all = {};
  for (let round = 0; round < rounds; round++) {
    for (const item of items) {
      for (let index = 0; index < names.length; index++) {
        // Each round begins with another server: none has always the colder machine.
        const name = names[(index + round) % names.length];
        const figures = await runOne(item, name);
        ((all[item.name] ??= {})[name] ??= []).push(figures);
        const told = figures.failed ?? formatFigure(item.figure, figures[item.figure]);
        log(`round ${round + 1} · ${item.title} · ${servers[name].title}: ${told}`);
      }
    }
    disks.push(measureDisk(base));
  }
  return { results: summariesOf(all, names), disk: diskOf(disks) };
}
