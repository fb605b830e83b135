// Fetches what it is told to, and says whether that worked.
onmessage = async ({ data, source }) => {
  source.postMessage(await fetch(data, { mode: 'no-cors' }).then(() => 'arrived', () => 'failed'));
};
