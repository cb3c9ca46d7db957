/** Started by the supervisor: see line-process.ts. */
import { runLineProcess } from './line-process.js';

runLineProcess();
