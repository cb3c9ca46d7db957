/** What Wakeline is about: devices, messages, and what links and hub say to each other. Imports base only. */
export * from './best-response.js';
export * from './call.js';
export * from './call-view.js';
export * from './control.js';
export * from './device.js';
export * from './endpoint.js';
export * from './link.js';
export * from './message.js';
export * from './properties.js';
export * from './question.js';
export * from './session.js';
export * from './shared-delivery.js';
