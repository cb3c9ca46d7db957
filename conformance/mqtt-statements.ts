/**
 * The numbers of every normative statement of MQTT 5.0 (OASIS standard of 7 March 2019) and MQTT 3.1.1 (OASIS
 * standard of 29 October 2014, with errata 01), body and appendix B taken together. Numbers only: what they say
 * stands in the standards, and in short in docs/spec/mqtt-5.0.md and docs/spec/mqtt-3.1.1.md.
 */

/** A section and the first and last statement in it; there are no gaps between the two. */
type Section = readonly [section: string, first: number, last: number];

/** The mark of a version in the titles of tests. */
export type Mark = 'MQTT5' | 'MQTT3';

export interface Version {
  readonly page: string;
  /** Statements in all, counted apart from the sections. */
  readonly count: number;
  readonly sections: readonly Section[];
}

export const versions: Readonly<Record<Mark, Version>> = {
  MQTT5: {
    page: 'docs/spec/mqtt-5.0.md',
    count: 251,
    // prettier-ignore
    sections: [
      ['1.5.4', 1, 3], ['1.5.5', 1, 1], ['1.5.7', 1, 1], ['2.1.3', 1, 1], ['2.2.1', 2, 6], ['2.2.2', 1, 1],
      ['3.1.0', 1, 2], ['3.1.2', 1, 30], ['3.1.3', 1, 12], ['3.1.4', 1, 6], ['3.2.0', 1, 2], ['3.2.2', 1, 22],
      ['3.3.1', 1, 13], ['3.3.2', 1, 20], ['3.3.4', 1, 10], ['3.4.2', 1, 3], ['3.5.2', 1, 3], ['3.6.1', 1, 1],
      ['3.6.2', 1, 3], ['3.7.2', 1, 3], ['3.8.1', 1, 1], ['3.8.3', 1, 5], ['3.8.4', 1, 8], ['3.9.2', 1, 2],
      ['3.9.3', 1, 2], ['3.10.1', 1, 1], ['3.10.3', 1, 2], ['3.10.4', 1, 6], ['3.11.2', 1, 2], ['3.11.3', 1, 2],
      ['3.12.4', 1, 1], ['3.14.0', 1, 1], ['3.14.1', 1, 1], ['3.14.2', 1, 4], ['3.14.4', 1, 3], ['3.15.1', 1, 1],
      ['3.15.2', 1, 3], ['4.1.0', 1, 2], ['4.2.0', 1, 1], ['4.3.1', 1, 1], ['4.3.2', 1, 5], ['4.3.3', 1, 13],
      ['4.4.0', 1, 2], ['4.5.0', 1, 2], ['4.6.0', 1, 6], ['4.7.0', 1, 1], ['4.7.1', 1, 2], ['4.7.2', 1, 1],
      ['4.7.3', 1, 4], ['4.8.2', 1, 6], ['4.9.0', 1, 3], ['4.12.0', 1, 7], ['4.12.1', 1, 2], ['4.13.1', 1, 1],
      ['4.13.2', 1, 1], ['6.0.0', 1, 4],
    ],
  },
  MQTT3: {
    page: 'docs/spec/mqtt-3.1.1.md',
    count: 141,
    // prettier-ignore
    sections: [
      ['1.5.3', 1, 3], ['2.2.2', 1, 2], ['2.3.1', 1, 7], ['3.1.0', 1, 2], ['3.1.2', 1, 24], ['3.1.3', 1, 11],
      ['3.1.4', 1, 5], ['3.2.0', 1, 1], ['3.2.2', 1, 6], ['3.3.1', 1, 12], ['3.3.2', 1, 3], ['3.3.4', 1, 1],
      ['3.3.5', 1, 2], ['3.6.1', 1, 1], ['3.8.1', 1, 1], ['3.8.3', 1, 4], ['3.8.4', 1, 6], ['3.9.3', 1, 2],
      ['3.10.1', 1, 1], ['3.10.3', 1, 2], ['3.10.4', 1, 6], ['3.12.4', 1, 1], ['3.14.1', 1, 1], ['3.14.4', 1, 3],
      ['4.1.0', 1, 2], ['4.3.1', 1, 1], ['4.3.2', 1, 2], ['4.3.3', 1, 2], ['4.4.0', 1, 1], ['4.5.0', 1, 2],
      ['4.6.0', 1, 6], ['4.7.1', 1, 3], ['4.7.2', 1, 1], ['4.7.3', 1, 4], ['4.8.0', 1, 2], ['6.0.0', 1, 4],
      ['7.0.0', 1, 2], ['7.1.1', 1, 1], ['7.1.2', 1, 1],
    ],
  },
};

/** The number of every statement, as `3.1.2-22`. */
export function statementsOf({ sections }: Version): string[] {
  return sections.flatMap(([section, first, last]) =>
    Array.from({ length: last - first + 1 }, (_, index) => `${section}-${first + index}`),
  );
}
