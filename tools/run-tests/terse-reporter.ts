/** Node's spec reporter without its closing figures: the runner prints one summary for all files. */
import { Readable } from 'node:stream';
import { spec as Spec, type TestEvent } from 'node:test/reporters';

const FIGURE = /^(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

export default async function* terseReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const chunk of Readable.from(withoutFigures(source)).pipe(new Spec())) yield String(chunk);
}

async function* withoutFigures(source: AsyncIterable<TestEvent>): AsyncGenerator<TestEvent> {
  for await (const event of source) {
    const isFigure =
      event.type === 'test:diagnostic' && event.data.nesting === 0 && FIGURE.test(event.data.message);
    if (!isFigure) yield event;
  }
}
