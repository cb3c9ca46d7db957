/** Started by the supervisor: see hub-process.ts. */
import { runHubProcess } from './hub-process.js';

runHubProcess();
