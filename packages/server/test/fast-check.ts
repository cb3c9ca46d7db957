/** fast-check as tests use it: the same each time in the gate, and elsewhere each time in the long form. */
import fc from 'fast-check';

const isLong = process.env['WAKELINE_LONG'] === '1';
fc.configureGlobal({ seed: Number(process.env['WAKELINE_SEED'] ?? (isLong ? Date.now() % 1_000_000 : 1)) });

export { default } from 'fast-check';
