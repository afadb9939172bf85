// Has what the server does not: every file once more, under only-here/.
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  if (event.request.url.includes('/only-here/')) event.respondWith(fetch(event.request.url.replace('/only-here/', '/')));
});
