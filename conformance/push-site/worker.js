/** The service worker of the tests' page: shows a notification for each push, and tells the site what it saw. */
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));

addEventListener('push', (event) => {
  const text = event.data === null ? null : event.data.text();
  event.waitUntil(show(text));
});

addEventListener('pushsubscriptionchange', (event) => {
  event.waitUntil(report({ type: 'subscription-change' }));
});

async function show(text) {
  await registration.showNotification(text ?? 'nothing');
  const notifications = await registration.getNotifications();
  await report({ type: 'push', text, shown: notifications.map(({ title }) => title) });
}

async function report(what) {
  await fetch('reports', { method: 'POST', body: JSON.stringify(what) });
}
