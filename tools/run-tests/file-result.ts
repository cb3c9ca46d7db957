/** What became of one test file, read from the records that its process left and from how it ended. */
import type { TestRecord } from './record-reporter.js';

export interface FileResult {
  readonly path: string;
  readonly durationMs: number;
  readonly passed: number;
  readonly failures: readonly Outcome[];
  readonly skips: readonly Outcome[];
}

/** A test that did not pass, with the reason. An empty name: the file as a whole. */
export interface Outcome {
  readonly name: string;
  readonly reason: string;
}

/** How the process of a file ended. */
export interface Ending {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly durationMs: number;
  /** Set when the runner ended it: why. */
  readonly killedFor?: string;
}

/** Counts the records of one file. A file without a test, or one that ended badly without saying why, failed. */
export function resultOf(path: string, records: readonly TestRecord[], ending: Ending): FileResult {
  const failures: Outcome[] = [];
  const skips: Outcome[] = [];
  const names: string[] = [];
  let passed = 0;
  /** Tests and suites that began and have not ended. */
  const open: { readonly name: string; readonly nesting: number }[] = [];
  for (const record of records) {
    if (record.kind === 'begin') {
      open.push(record);
      continue;
    }
    names[record.nesting] = record.name;
    if (record.kind === 'start') continue;
    const name = names.slice(0, record.nesting + 1).join(' › ');
    const begun = open.findIndex((one) => one.name === record.name && one.nesting === record.nesting);
    if (begun !== -1) open.splice(begun, 1);
    if (record.skip !== undefined) skips.push({ name, reason: reasonOf(record.skip, 'no reason given') });
    else if (record.todo !== undefined) skips.push({ name, reason: reasonOf(record.todo, 'to do') });
    else if (!record.isPassed) {
      // The failure inside is counted where it happened.
      if (record.failureType !== 'subtestsFailed')
        failures.push({ name, reason: record.failureType ?? 'failed' });
    } else if (!record.isSuite) passed += 1;
  }
  const running = open.map((one) => one.name).join(' › ');
  if (ending.killedFor !== undefined) {
    const place = running === '' ? 'after its last test' : `in: ${running}`;
    failures.push({ name: '', reason: `${ending.killedFor}, ${place}` });
  } else if ((ending.exitCode !== 0 || ending.signal !== null) && failures.length === 0) {
    const how = ending.signal === null ? `exit code ${ending.exitCode}` : ending.signal;
    failures.push({ name: '', reason: `ended with ${how}` });
  } else if (running !== '') {
    // Somebody called process.exit() with success.
    failures.push({ name: '', reason: `the process left by itself, in: ${running}` });
  } else if (passed + failures.length + skips.length === 0) {
    failures.push({ name: '', reason: 'holds no test' });
  }
  return { path, durationMs: ending.durationMs, passed, failures, skips };
}

/** The records of a reporter's file; a last line cut off by a kill is left out. */
export function parseRecords(text: string): readonly TestRecord[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TestRecord);
}

function reasonOf(given: string | true, otherwise: string): string {
  return typeof given === 'string' && given !== '' ? given : otherwise;
}
