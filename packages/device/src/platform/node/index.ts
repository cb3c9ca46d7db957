/** The line in Node. */
export * from '../../api.js';
