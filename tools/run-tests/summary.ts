/** The one summary after all files. Its last line stands alone and is stable: `N passed, N failed, N skipped`. */
import type { FileResult, Outcome } from './file-result.js';

export interface Summary {
  readonly text: string;
  readonly isSuccess: boolean;
}

const SLOWEST_COUNT = 5;

/** Sums up. Where `isSkipFailure` is set (continuous integration), a test that did not run is a failure too. */
export function summarize(results: readonly FileResult[], isSkipFailure: boolean): Summary {
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failed = results.reduce((sum, result) => sum + result.failures.length, 0);
  const skipped = results.reduce((sum, result) => sum + result.skips.length, 0);
  const lines = [
    ...outcomeLines('Failed:', results, (result) => result.failures),
    ...outcomeLines('Skipped:', results, (result) => result.skips),
    'Slowest files:',
    ...results
      .toSorted((a, b) => b.durationMs - a.durationMs)
      .slice(0, SLOWEST_COUNT)
      .map(({ durationMs, path }) => `  ${(durationMs / 1_000).toFixed(1).padStart(6)} s  ${path}`),
  ];
  if (passed + failed + skipped === 0) lines.push('No test was run: that is a failure.');
  if (skipped > 0 && isSkipFailure) lines.push('CI=true: a skipped test is a failure.');
  lines.push(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  const isSuccess = failed === 0 && passed + skipped > 0 && !(skipped > 0 && isSkipFailure);
  return { text: `${lines.join('\n')}\n`, isSuccess };
}

function outcomeLines(
  heading: string,
  results: readonly FileResult[],
  pick: (result: FileResult) => readonly Outcome[],
): readonly string[] {
  const lines = results.flatMap((result) =>
    pick(result).map(({ name, reason }) => `  ${result.path}${name === '' ? '' : ` › ${name}`}: ${reason}`),
  );
  return lines.length === 0 ? [] : [heading, ...lines];
}
