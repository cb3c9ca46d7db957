/** fast-check as tests use it: it begins where the other tests that choose at random do, so that the gate is the same each time. */
import fc from 'fast-check';
import { firstSeed } from './seed.js';

fc.configureGlobal({ seed: firstSeed });

export { default } from 'fast-check';
