/**
 * A reporter for node:test that writes one JSON line for each event that the runner counts by. It is loaded by
 * Node into the process of each test file; its destination is a file, so that a killed process leaves its lines.
 */
import type { TestEvent } from 'node:test/reporters';

export type TestRecord =
  /** It begins to run. Tests that run side by side mix these. */
  | { readonly kind: 'begin'; readonly name: string; readonly nesting: number }
  /** It begins to be reported: in the order in which tests are written. */
  | { readonly kind: 'start'; readonly name: string; readonly nesting: number }
  | {
      readonly kind: 'end';
      readonly name: string;
      readonly nesting: number;
      readonly isSuite: boolean;
      readonly isPassed: boolean;
      /** The reason, where one is given. */
      readonly skip?: string | true;
      readonly todo?: string | true;
      /** Of a failure: `subtestsFailed` where only something inside failed. */
      readonly failureType?: string;
    };

export default async function* recordReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const record = recordOf(event);
    if (record !== undefined) yield `${JSON.stringify(record)}\n`;
  }
}

function recordOf(event: TestEvent): TestRecord | undefined {
  if (event.type === 'test:start') {
    return { kind: 'start', name: event.data.name, nesting: event.data.nesting };
  }
  if (event.type === 'test:dequeue') {
    return { kind: 'begin', name: event.data.name, nesting: event.data.nesting };
  }
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { name, nesting, skip, todo } = event.data;
  const details = event.data.details as { readonly type?: string; readonly error?: { failureType?: string } };
  const failureType = details.error?.failureType;
  return {
    kind: 'end',
    name,
    nesting,
    isSuite: details.type === 'suite',
    isPassed: event.type === 'test:pass',
    ...(skip === undefined || skip === false ? {} : { skip }),
    ...(todo === undefined || todo === false ? {} : { todo }),
    ...(failureType === undefined ? {} : { failureType }),
  };
}
