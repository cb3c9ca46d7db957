/** As much of `@react-native-async-storage/async-storage` as the guide uses; tells what is set under `messages`. */
const items = new Map();

export default {
  getItem: async (key) => items.get(key) ?? null,
  async setItem(key, value) {
    items.set(key, value);
    if (key === 'messages') console.log('messages', value);
  },
};
