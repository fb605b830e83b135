// A worker of any kind that tells who asks what it sees of the device; with `?nested`, what a worker of its own sees.
const answer = async ({ gather, url }) => (0, eval)(`(${gather})`)(url);
const nested = location.search === "?nested" ? new Worker("/device.js") : null;

onmessage = async event => {
  if (nested) {
    nested.onmessage = from => postMessage(from.data);
    nested.postMessage(event.data);
  } else {
    const seen = await answer(event.data);
    (event.source || self).postMessage(seen);
  }
};
onconnect = ({ ports: [port] }) => {
  port.onmessage = async event => port.postMessage(await answer(event.data));
};
oninstall = () => self.skipWaiting();
