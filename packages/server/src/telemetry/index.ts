/** What the server tells its operators: a log and figures. */
export * from './logger.js';
export * from './metrics.js';
